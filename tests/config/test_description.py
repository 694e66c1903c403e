"""Image size and normalization from timm's description of a model."""

from typing import Any

import pytest
import torch

from longtail.config import describe_backbone, load_config, timm_name
from longtail.data import build_normalize
from longtail.errors import UserError

VIT: list[Any] = [
    "BACKBONE.TYPE",
    "timm/vit_base_patch16_224",
    "INPUT_SIZE",
    (0, 0),
    "DATASET.NORMALIZATION",
    "backbone",
]


@pytest.mark.parametrize(
    ("name", "tag", "size", "mean"),
    [
        ("timm/vit_base_patch16_224", "augreg_in21k", 224, 0.5),
        ("timm/vit_base_patch16_224", "mae", 224, 0.485),
        ("timm/vit_base_patch16_384", "", 384, 0.5),
        ("timm/tf_efficientnet_lite0", "default", 224, 0.5),
        ("timm/test_vit", "", 160, 0.5),
        ("timm/resnet18", "", 224, 0.485),
    ],
)
def test_description_gives_size_and_mean(name: str, tag: str, size: int, mean: float) -> None:
    cfg = load_config(None, [*VIT, "BACKBONE.TYPE", name, "BACKBONE.PRETRAINED_TAG", tag])
    assert (size, size) == cfg.INPUT_SIZE
    assert describe_backbone(cfg).mean[0] == mean
    normalized = build_normalize(cfg)(torch.zeros(1, 1, 3, 2, 2, dtype=torch.uint8))
    expected = [-m / s for m, s in zip(describe_backbone(cfg).mean, describe_backbone(cfg).std, strict=True)]
    assert normalized[0, 0, :, 0, 0].tolist() == pytest.approx(expected, rel=1e-5)


def test_written_config_holds_the_size() -> None:
    assert load_config(None, [*VIT, "INPUT_SIZE", (96, 96)]).INPUT_SIZE == (96, 96)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["BACKBONE.TYPE", "res50"], "res50 is not a timm model"),
        (["BACKBONE.TYPE", "timm/vit_base_patch61"], "is not a timm model"),
        (["BACKBONE.PRETRAINED_TAG", "mea"], "timm has these weights of vit_base_patch16_224: .*mae"),
        (["INPUT_SIZE", (0, 32)], "both sizes must be 0, or none"),
        (
            ["BACKBONE.MULTI_NETWORK_TYPE", ["timm/resnet18", "timm/test_vit"]],
            "describes timm/resnet18 and timm/test_v",
        ),
    ],
)
def test_description_that_does_not_exist_is_refused(overrides: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_config(None, [*VIT, *overrides])
    assert "\n" not in str(error.value)


def test_timm_name_joins_model_and_tag() -> None:
    assert timm_name("timm/resnet18", "a1_in1k") == "resnet18.a1_in1k"
    assert timm_name("timm/resnet18", "default") == timm_name("timm/resnet18", "") == "resnet18"
