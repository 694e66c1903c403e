"""The models of timm as backbones."""

import pytest
import torch

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import BACKBONES, Backbone, BackboneOptions, build_model, load_backbone_weights


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "side"), [("resnet18", 512, 64), ("vit_tiny_patch16_224", 192, 64), ("lcnet_035", 1280, 64)]
)
def test_timm_backbone_gives_vectors_of_its_width(name: str, width: int, side: int) -> None:
    model = build_model(load_config(None, ["BACKBONE.TYPE", f"timm/{name}", "INPUT_SIZE", [side, side]]), 7)
    output = model.eval()(torch.zeros(2, 3, side, side))
    assert output.features.shape == (1, 2, width)
    assert output.logits.shape == (1, 2, 7)


@pytest.mark.slow
def test_timm_backbone_is_a_backbone_with_timms_parameter_names() -> None:
    import timm

    weights = timm.create_model("resnet18", num_classes=5).state_dict()
    backbone = BACKBONES.get("timm/resnet18")(BackboneOptions())
    assert isinstance(backbone, Backbone)
    report = load_backbone_weights(backbone, weights)
    assert (report.missing, report.unexpected) == ([], ["fc.weight", "fc.bias"])


@pytest.mark.slow
@pytest.mark.parametrize("side", [64, 224])
def test_timm_vision_transformer_is_built_for_the_image_size(side: int) -> None:
    with torch.device("meta"):
        backbone = BACKBONES.get("timm/vit_tiny_patch16_224")(BackboneOptions((side, side)))
    assert backbone.state_dict()["pos_embed"].shape == (1, 1 + (side // 16) ** 2, 192)


@pytest.mark.slow
def test_timm_backbone_drop_path() -> None:
    name = "timm/vit_tiny_patch16_224"
    with torch.device("meta"):
        plain, dropping = (BACKBONES.get(name)(BackboneOptions((64, 64), drop_path=rate)) for rate in (0.0, 0.2))
    rates = [
        [float(str(module.drop_prob)) for module in backbone.modules() if type(module).__name__ == "DropPath"]
        for backbone in (plain, dropping)
    ]
    assert rates[0] == [] and max(rates[1]) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnet81", r"unknown backbone 'timm/resnet81'; timm .* models, the nearest are .*timm/resnet18"),
        ("timm/qqqqqq", "none of a similar name"),
        ("tim/resnet18", "unknown library of backbones 'tim'; available: timm; did you mean timm"),
        ("res51", "unknown backbone 'res51'; available: .*; did you mean res50"),
    ],
)
def test_unknown_backbone_lists_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        BACKBONES.get(name)
