"""Every YAML file published with Bag of Tricks and NCL loads with its original meaning."""

from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest
import yaml
from yacs.config import CfgNode

from longtail.config import KEYS, expert_backbones, flatten, load_config, value_of
from longtail.data.samplers import check_sampling
from tests.helpers.released_files import bag_of_tricks_files, flat, ncl_files

FILES = dict([*bag_of_tricks_files(), *ncl_files()])
# Replaced by own names when a config is loaded.
REPLACED = ("DATASET.DATASET", "DATASET.VIEWS", "DATASET.NORMALIZATION", "DATASET.TEST_VIEW", "TRAIN.COMBINER.TYPE")
ARCHIVES = ("IMBALANCECIFAR10", "IMBALANCECIFAR100")  # which read no annotation files


def load(content: dict[str, Any], folder: Path) -> CfgNode:
    path = folder / "released.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_config(path)


def test_released_files_are_complete() -> None:
    assert len(list(bag_of_tricks_files())) == 176
    assert len(list(ncl_files())) == 6
    assert len(FILES) == 182


def test_released_files_have_rates_and_tuples_as_texts_and_empty_sections() -> None:
    assert "WEIGHT_DECAY: 2e-4\n" in yaml.safe_dump(FILES["baseline/cifar10_im100"])
    assert "INPUT_SIZE: (32, 32)\n" in yaml.safe_dump(FILES["baseline/cifar10_im100"])
    assert "IMBALANCECIFAR: null\n" in yaml.safe_dump(FILES["cifar100_im100_NCL"])


@pytest.mark.parametrize("name", FILES)
def test_load_config_of_a_released_file_has_its_values(name: str, tmp_path: Path) -> None:
    cfg = load(FILES[name], tmp_path)
    written = {key: value for key, value in flat(FILES[name]).items() if value is not None}
    replaced: tuple[str, ...] = REPLACED
    if written["DATASET.DATASET"] in ARCHIVES:
        replaced += ("DATASET.TRAIN_JSON", "DATASET.VALID_JSON")
    for key, found in flatten(cfg):
        if key in replaced:
            continue
        kind = type(KEYS[key].default)
        expected = written.get(key, KEYS[key].default)
        if isinstance(expected, str) and kind is not str:
            expected = literal_eval(expected)
        assert (found, type(found)) == (expected, kind), key
    assert set(written) <= set(KEYS)


def test_load_config_of_a_bag_of_tricks_file_is_one_expert_and_supervised_training(tmp_path: Path) -> None:
    cfg = load(FILES["baseline/cifar100_im50"], tmp_path)
    assert (cfg.DATASET.DATASET, cfg.TRAIN.COMBINER.TYPE, cfg.TRAIN.AMP) == ("cifar100_lt", "supervised", "off")
    assert expert_backbones(cfg) == ["res32_cifar"]
    assert cfg.DATASET.IMBALANCECIFAR.RATIO == 0.02


def test_load_config_of_an_ncl_file_is_its_experts_and_a_nested_loss(tmp_path: Path) -> None:
    cfg = load(FILES["cifar100_im100_NCL++"], tmp_path)
    assert cfg.DATASET.VIEWS == ["autoaugment"] * 4
    assert expert_backbones(cfg) == ["res32_cifar"] * 2
    assert (cfg.TRAIN.COMBINER.TYPE, cfg.LOSS.LOSS_TYPE) == ("supervised", "NIL_NBOD_plus")


@pytest.mark.parametrize(("name", "view"), [("inat18_NCL", "randaugment"), ("iNat18/iNat18_baseline", "transforms")])
def test_load_config_distinguishes_the_two_inaturalist_pipelines(name: str, view: str, tmp_path: Path) -> None:
    assert [view] == load(FILES[name], tmp_path).DATASET.VIEWS


def test_load_config_of_a_released_file_with_apex_is_fp16(tmp_path: Path) -> None:
    content = FILES["baseline/cifar10_im100"]
    cfg = load(content | {"TRAIN": content["TRAIN"] | {"APEX": True}}, tmp_path)
    assert cfg.TRAIN.AMP == "fp16"


@pytest.mark.slow
def test_released_files_name_samplers_that_exist(tmp_path: Path) -> None:
    kinds: dict[tuple[str, str, bool], set[str]] = {}
    for name, content in FILES.items():
        if "/cifar" in name and not name.endswith("cifar10_im100"):
            continue  # the four data sets have the same files
        cfg = load(content, tmp_path)
        check_sampling(cfg)
        sampler = cfg.TRAIN.SAMPLER
        weighting = sampler.WEIGHTED_SAMPLER.TYPE if sampler.TYPE == "weighted sampler" else ""
        kinds.setdefault((sampler.TYPE, weighting, cfg.TRAIN.TWO_STAGE.DRS), set()).add(name.split("/")[-2:][0])
    assert kinds.pop(("default", "", False)) >= {"baseline", "ldam", "input_mixup", "generate", "cifar100_im100_NCL"}
    assert kinds == {
        ("weighted sampler", "balance", False): {"balance", "second_stage_balance", "cRT", "LWS", "combinations"},
        ("weighted sampler", "square", False): {"square", "second_stage_square"},
        ("weighted sampler", "progressive", False): {"progressive", "second_stage_progressive"},
        **{("weighted sampler", kind, True): {kind} for kind in ("balance", "square", "progressive")},
        ("bbn sampler", "", False): {"bbn"},
    }


def test_value_of_a_section_that_is_empty_in_the_file_is_the_default(tmp_path: Path) -> None:
    cfg = load(FILES["cifar100_im100_NCL"], tmp_path)
    assert value_of(cfg, "DATASET.IMBALANCECIFAR") == load_config().DATASET.IMBALANCECIFAR
