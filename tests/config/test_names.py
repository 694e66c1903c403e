"""Names of the released systems, replaced when a config is loaded."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from longtail.config import RELEASED_DATASETS, RELEASED_METHODS, expert_backbones, load_config, to_yaml
from longtail.errors import UserError
from longtail.methods import METHODS


class Data(NamedTuple):
    """The keys by which a data set name is replaced."""

    source: str
    views: tuple[str, ...]
    normalization: str
    test_view: str


def data_of(*overrides: Any) -> Data:
    data = load_config(None, overrides).DATASET
    return Data(data.DATASET, tuple(data.VIEWS), data.NORMALIZATION, data.TEST_VIEW)


CROP, RAND = ("crop_flip",), ("randaugment",)
DATASETS = [
    ("IMBALANCECIFAR10", "default", Data("cifar10_lt", CROP, "cifar", "none")),
    ("IMBALANCECIFAR100", "default", Data("cifar100_lt", CROP, "cifar", "none")),
    ("CIFAR", "default", Data("annotations", ("transforms",), "imagenet", "none")),
    ("iNaturalist", "default", Data("annotations", ("transforms",), "imagenet", "transforms")),
    ("iNaturalist", "mix_up", Data("annotations", ("transforms",), "imagenet", "transforms")),
    ("iNaturalist", "multi_network_default", Data("annotations", RAND, "inaturalist", "transforms")),
    (
        "MULTI_NETWORK_CIFAR_AUGPLIS",
        "multi_network_default",
        Data("annotations", ("autoaugment",), "cifar", "none"),
    ),
    (
        "MULTI_NETWORK_CIFAR_MOCO_AUGPLIS",
        "multi_network_default_CON",
        Data("annotations", ("autoaugment", "simclr"), "cifar", "none"),
    ),
    (
        "MULTI_NETWORK_CIFAR_AUGPLIS_NCL_PLUS",
        "multi_network_default",
        Data("annotations", ("autoaugment",), "cifar", "none"),
    ),
    ("ImageNet_LT", "multi_network_default", Data("annotations", RAND, "imagenet", "transforms")),
    ("ImageNet_LT_NCL_PLUS", "multi_network_default", Data("annotations", RAND, "imagenet", "transforms")),
    (
        "ImageNet_LT_MOCO",
        "contrastive",
        Data("annotations", ("randaugment", "simclr_imagenet"), "imagenet", "transforms"),
    ),
    (
        "Places_LT_MOCO",
        "multi_network_default_CON",
        Data("annotations", ("simclr_imagenet", "simclr_imagenet"), "imagenet", "transforms"),
    ),
    ("Places_LT", "nested", Data("annotations", ("simclr_imagenet",), "imagenet", "transforms")),
    ("Places_LT_NCL_PLUS", "nested", Data("annotations", ("simclr_imagenet",), "imagenet", "transforms")),
    (
        "iNaturalist_MOCO",
        "contrastive",
        Data("annotations", ("randaugment", "simclr_imagenet"), "inaturalist", "transforms"),
    ),
    ("iNaturalist_NCL_PLUS", "nested", Data("annotations", RAND, "inaturalist", "transforms")),
    ("digits_lt", "plain", Data("digits_lt", CROP, "cifar", "none")),
]


@pytest.mark.parametrize(("name", "method", "expected"), DATASETS)
def test_resolve_dataset_names(name: str, method: str, expected: Data) -> None:
    assert data_of("DATASET.DATASET", name, "TRAIN.COMBINER.TYPE", method) == expected


def test_resolve_covers_every_released_dataset() -> None:
    assert set(RELEASED_DATASETS) <= {name for name, _, _ in DATASETS}


def test_resolve_keeps_explicit_views_normalization_and_test_view() -> None:
    keys = ["DATASET.VIEWS", ["none"], "DATASET.NORMALIZATION", "digits", "DATASET.TEST_VIEW", "transforms"]
    found = data_of("DATASET.DATASET", "MULTI_NETWORK_CIFAR_MOCO_AUGPLIS", *keys)
    assert found == Data("annotations", ("none",), "digits", "transforms")


def test_resolve_repeats_a_single_view_intra_n_times() -> None:
    name = "MULTI_NETWORK_CIFAR_AUGPLIS_NCL_PLUS"
    assert data_of("DATASET.DATASET", name, "DATASET.INTRA_N", 4).views == ("autoaugment",) * 4
    assert data_of("DATASET.VIEWS", ["crop", "simclr"], "DATASET.INTRA_N", 4).views == ("crop", "simclr")


FILES = ["DATASET.TRAIN_JSON", "train.json", "DATASET.VALID_JSON", "valid.json"]


@pytest.mark.parametrize("archive", ["cifar10_lt", "cifar100_lt"])
def test_resolve_annotation_files_replace_an_archive(archive: str) -> None:
    assert data_of("DATASET.DATASET", archive).source == archive
    cfg = load_config(None, ["DATASET.DATASET", archive, *FILES])
    assert (cfg.DATASET.DATASET, cfg.DATASET.TRAIN_JSON) == ("annotations", "train.json")


@pytest.mark.parametrize("name", ["IMBALANCECIFAR10", "IMBALANCECIFAR100"])
def test_resolve_released_archives_ignore_annotation_files(name: str) -> None:
    data = load_config(None, ["DATASET.DATASET", name, *FILES]).DATASET
    assert data.DATASET in ("cifar10_lt", "cifar100_lt")
    assert (data.TRAIN_JSON, data.VALID_JSON) == ("", "")


# Methods


OWN_METHODS = {
    "default": "supervised",
    "plain": "supervised",
    "nested": "supervised",
    "multi_network_default": "supervised",
    "multi_network_default_CON": "contrastive",
    "mix_up": "mixup",
    "manifold_mix_up": "manifold_mixup",
    "remix": "remix",
    "bbn_mix": "bbn_mixup",
    "dive": "distillation",
}


@pytest.mark.parametrize(("released", "own"), OWN_METHODS.items())
def test_resolve_method_names(released: str, own: str) -> None:
    for name in (released, own):
        assert own == load_config(None, ["TRAIN.COMBINER.TYPE", name]).TRAIN.COMBINER.TYPE
    assert own in METHODS


def test_resolve_covers_every_released_method() -> None:
    assert set(RELEASED_METHODS) | {"remix"} == set(OWN_METHODS)


def test_expert_backbones_are_listed_or_one() -> None:
    assert expert_backbones(load_config(None, ["BACKBONE.TYPE", "a"])) == ["a"]
    cfg = load_config(None, ["BACKBONE.TYPE", "a", "BACKBONE.MULTI_NETWORK_TYPE", ["b", "c"]])
    assert expert_backbones(cfg) == ["b", "c"]


@pytest.mark.parametrize(
    ("apex", "amp", "expected"),
    [(False, "off", "off"), (True, "off", "fp16"), (False, "bf16", "bf16"), (True, "bf16", "bf16")],
)
def test_resolve_apex_is_fp16(apex: bool, amp: str, expected: str) -> None:
    assert expected == load_config(None, ["TRAIN.APEX", apex, "TRAIN.AMP", amp]).TRAIN.AMP


def test_amp_of_a_config_written_with_apex_can_be_switched_off(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(to_yaml(load_config(None, ["TRAIN.APEX", True])))
    config = str(tmp_path / "config.yaml")
    assert load_config(config).TRAIN.AMP == "fp16"
    assert load_config(config, ["TRAIN.AMP", "off"]).TRAIN.AMP == "off"


# Samplers

TYPE = "TRAIN.SAMPLER.TYPE"
WEIGHTING = "TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE"
EXPONENT = "TRAIN.SAMPLER.WEIGHTED_SAMPLER.EXPONENT"
NCL = "TRAIN.SAMPLER.MULTI_NETWORK_TYPE"
SAMPLERS: list[tuple[list[Any], tuple[str, str, float]]] = [
    ([], ("default", "balance", 0.5)),
    ([TYPE, "weighted sampler", WEIGHTING, "square"], ("weighted sampler", "square", 0.5)),
    ([TYPE, "weighted sampler", WEIGHTING, "square", EXPONENT, 0.3], ("weighted sampler", "square", 0.3)),
    ([TYPE, "bbn sampler"], ("bbn sampler", "balance", 0.5)),
    ([NCL, ["default", "weighted_square"]], ("default", "balance", 0.5)),
    ([NCL, []], ("default", "balance", 0.5)),
    ([NCL, ["weighted_balance"]], ("weighted sampler", "balance", 0.5)),
    ([NCL, ["weighted_square", "default"]], ("weighted sampler", "square", 0.25)),
    ([NCL, ["weighted_progressive"]], ("weighted sampler", "progressive", 0.5)),
    ([NCL, ["weighted_square"], TYPE, "weighted sampler"], ("weighted sampler", "square", 0.25)),
    ([NCL, ["weighted_square"], WEIGHTING, "square", EXPONENT, 0.25], ("weighted sampler", "square", 0.25)),
]


@pytest.mark.parametrize(("overrides", "expected"), SAMPLERS)
def test_resolve_sampler_keys_of_both_releases(overrides: list[Any], expected: tuple[str, str, float]) -> None:
    sampler = load_config(None, overrides).TRAIN.SAMPLER
    assert expected == (sampler.TYPE, sampler.WEIGHTED_SAMPLER.TYPE, sampler.WEIGHTED_SAMPLER.EXPONENT)
    assert (*sampler.MULTI_NETWORK_TYPE, "default")[0] == "default"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            [NCL, ["weighted_squares"]],
            r"MULTI_NETWORK_TYPE is \['weighted_squares'\]; .* one of default, .*; did you mean weighted_square\?$",
        ),
        ([NCL, ["weighted_square"], TYPE, "bbn sampler"], r"TYPE is 'bbn sampler' .* only one of them can choose"),
        ([NCL, ["weighted_square"], WEIGHTING, "progressive"], r"TYPE 'progressive'; only one of them can choose"),
        ([NCL, ["weighted_square"], EXPONENT, 0.3], r"EXPONENT is 0\.3; set TRAIN\.SAMPLER\.TYPE instead$"),
    ],
)
def test_resolve_refuses_contradicting_sampler_keys(overrides: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_config(None, overrides)
    assert "\n" not in str(error.value)


# Twice is once


@pytest.mark.parametrize(
    "overrides",
    [
        *([["DATASET.DATASET", name, "TRAIN.COMBINER.TYPE", method] for name, method, _ in DATASETS]),
        *(overrides for overrides, _ in SAMPLERS),
        ["DATASET.INTRA_N", 4],
        ["DATASET.DATASET", "cifar10_lt", *FILES],
        ["DATASET.DATASET", "IMBALANCECIFAR10", *FILES],
        ["TRAIN.APEX", True],
    ],
)
def test_resolve_leaves_a_resolved_config_as_it_is(overrides: list[Any], tmp_path: Any) -> None:
    cfg = load_config(None, overrides)
    (tmp_path / "dumped.yaml").write_text(to_yaml(cfg))
    assert load_config(tmp_path / "dumped.yaml") == cfg
