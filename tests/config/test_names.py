import pytest

from longtail.config import DatasetParts, dataset_parts, expert_backbones, load_config, method_name, precision

RANDAUGMENT_VIEW = ("randaugment",)


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("IMBALANCECIFAR10", "default", DatasetParts("cifar10_lt", ("crop_flip",), "cifar", "none")),
        ("IMBALANCECIFAR100", "default", DatasetParts("cifar100_lt", ("crop_flip",), "cifar", "none")),
        ("CIFAR", "default", DatasetParts("annotations", ("transforms",), "imagenet", "none")),
        ("iNaturalist", "default", DatasetParts("annotations", ("transforms",), "imagenet", "transforms")),
        ("iNaturalist", "mix_up", DatasetParts("annotations", ("transforms",), "imagenet", "transforms")),
        (
            "iNaturalist",
            "multi_network_default",
            DatasetParts("annotations", RANDAUGMENT_VIEW, "inaturalist", "transforms"),
        ),
        (
            "MULTI_NETWORK_CIFAR_AUGPLIS",
            "multi_network_default",
            DatasetParts("annotations", ("autoaugment",), "cifar", "none"),
        ),
        (
            "MULTI_NETWORK_CIFAR_MOCO_AUGPLIS",
            "multi_network_default_CON",
            DatasetParts("annotations", ("autoaugment", "simclr"), "cifar", "none"),
        ),
        (
            "MULTI_NETWORK_CIFAR_AUGPLIS_NCL_PLUS",
            "multi_network_default",
            DatasetParts("annotations", ("autoaugment",), "cifar", "none"),
        ),
        (
            "ImageNet_LT",
            "multi_network_default",
            DatasetParts("annotations", RANDAUGMENT_VIEW, "imagenet", "transforms"),
        ),
        (
            "ImageNet_LT_NCL_PLUS",
            "multi_network_default",
            DatasetParts("annotations", RANDAUGMENT_VIEW, "imagenet", "transforms"),
        ),
        (
            "Places_LT_MOCO",
            "multi_network_default_CON",
            DatasetParts("annotations", ("simclr_imagenet", "simclr_imagenet"), "imagenet", "transforms"),
        ),
        ("Places_LT", "nested", DatasetParts("annotations", ("simclr_imagenet",), "imagenet", "transforms")),
        (
            "iNaturalist_MOCO",
            "contrastive",
            DatasetParts("annotations", ("randaugment", "simclr_imagenet"), "inaturalist", "transforms"),
        ),
        ("digits_lt", "plain", DatasetParts("digits_lt", ("crop_flip",), "cifar", "none")),
    ],
)
def test_a_released_data_set_stands_for_its_parts(name, method, expected):
    cfg = load_config(None, ["DATASET.DATASET", name, "TRAIN.COMBINER.TYPE", method])
    assert dataset_parts(cfg) == expected


def test_explicit_keys_go_before_what_the_name_implies():
    cfg = load_config(
        None,
        [
            "DATASET.DATASET",
            "MULTI_NETWORK_CIFAR_MOCO_AUGPLIS",
            "DATASET.VIEWS",
            ["none"],
            "DATASET.NORMALIZATION",
            "digits",
            "DATASET.TEST_VIEW",
            "transforms",
        ],
    )
    assert dataset_parts(cfg) == DatasetParts("annotations", ("none",), "digits", "transforms")


def test_intra_n_repeats_the_one_view():
    name = "MULTI_NETWORK_CIFAR_AUGPLIS_NCL_PLUS"
    assert (
        dataset_parts(load_config(None, ["DATASET.DATASET", name, "DATASET.INTRA_N", 4])).views == ("autoaugment",) * 4
    )


def test_several_explicit_views_are_not_repeated():
    cfg = load_config(None, ["DATASET.VIEWS", ["crop", "simclr"], "DATASET.INTRA_N", 4])
    assert dataset_parts(cfg).views == ("crop", "simclr")


@pytest.mark.parametrize(
    ("released", "own"),
    [
        ("default", "plain"),
        ("mix_up", "mixup"),
        ("manifold_mix_up", "manifold_mixup"),
        ("remix", "remix"),
        ("bbn_mix", "bbn_mixup"),
        ("dive", "distillation"),
        ("multi_network_default", "nested"),
        ("multi_network_default_CON", "contrastive"),
        ("nested", "nested"),
        ("plain", "plain"),
    ],
)
def test_methods_have_released_and_own_names(released, own):
    assert method_name(load_config(None, ["TRAIN.COMBINER.TYPE", released])) == own


def test_experts_are_listed_or_one():
    assert expert_backbones(load_config(None, ["BACKBONE.TYPE", "a"])) == ["a"]
    cfg = load_config(None, ["BACKBONE.TYPE", "a", "BACKBONE.MULTI_NETWORK_TYPE", ["b", "c"]])
    assert expert_backbones(cfg) == ["b", "c"]


@pytest.mark.parametrize(
    ("apex", "amp", "expected"),
    [(False, "off", "off"), (True, "off", "fp16"), (False, "bf16", "bf16"), (True, "bf16", "bf16")],
)
def test_apex_in_an_old_file_means_fp16(apex, amp, expected):
    assert precision(load_config(None, ["TRAIN.APEX", apex, "TRAIN.AMP", amp])) == expected
