"""Residual networks for large images: sizes, names, initial values, released outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import resnet

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import BACKBONES, BackboneOptions, build_model, load_backbone_weights, load_released_weights
from longtail.stages.network import build_network
from tests.helpers.golden import record, relative_error, released_parameters, tensor
from tests.helpers.networks import count_parameters

OPTIONS = BackboneOptions()
SIZES = {
    "res10": (512, 4_905_792),
    "res50": (2048, 23_508_032),
    "res152": (2048, 58_143_808),
    "resnext50": (2048, 22_979_904),
}
TORCHVISION: dict[str, Callable[[], nn.Module]] = {
    "res10": lambda: resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1]),
    "res50": resnet.resnet50,
    "res152": resnet.resnet152,
    "resnext50": resnet.resnext50_32x4d,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_image_resnet_sizes_and_names_are_torchvisions(name: str) -> None:
    with torch.device("meta"):
        backbone, whole = BACKBONES.get(name)(OPTIONS), TORCHVISION[name]()
    assert (backbone.out_features, count_parameters(backbone)) == SIZES[name]
    theirs = {key: value.shape for key, value in whole.state_dict().items() if not key.startswith("fc.")}
    assert {key: value.shape for key, value in backbone.state_dict().items()} == theirs
    assert backbone(torch.empty(2, 3, 224, 192, device="meta")).shape == (2, SIZES[name][0], 7, 6)


@pytest.mark.slow
def test_image_resnet_feature_map_is_torchvisions() -> None:
    torch.manual_seed(0)
    whole: Any = TORCHVISION["res10"]().eval()
    ours = BACKBONES.get("res10")(OPTIONS).eval()
    assert load_backbone_weights(ours, whole.state_dict()).missing == []
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(whole.fc(ours(images).mean((2, 3))), whole(images))


@pytest.mark.slow
def test_res50_matches_golden_outputs_of_ncl() -> None:
    network = next(network for network in record("networks")["networks"] if network["name"] == "ncl_res50_cos")
    model = build_model(load_config(None, network["options"]), network["num_classes"]).eval()
    report = load_released_weights(model, released_parameters(network["parameters"]))
    assert (report.missing, report.unexpected) == ([], [])
    with torch.no_grad():
        output = model(tensor("networks", "ncl_res50_cos.images"))
    for name in ("features", "logits"):
        assert relative_error(getattr(output, name), tensor("networks", f"ncl_res50_cos.{name}")) < 1e-4


@pytest.mark.slow
def test_image_resnet_initial_convolutions() -> None:
    torch.manual_seed(0)
    normal = BACKBONES.get("res10")(OPTIONS).state_dict()["layer4.0.conv2.weight"]
    default = BACKBONES.get("res50")(OPTIONS).state_dict()["layer1.0.conv2.weight"]
    assert normal.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    bound = (1 / (9 * 64)) ** 0.5
    assert default.abs().max().item() == pytest.approx(bound, rel=0.001)
    assert default.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)


@pytest.mark.slow
def test_initialization_by_fan_out_is_torchvisions() -> None:
    torch.manual_seed(0)
    model = build_model(load_config("imagenet_lt,sbcl_queue"), 1000)
    weights = {name: value for name, value in model.state_dict().items() if "backbone" in name and value.dim() == 4}
    for name in ("conv1", "layer1.0.conv2", "layer2.0.downsample.0", "layer4.2.conv3"):
        weight = weights[f"experts.0.backbone.{name}.weight"]
        fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
        assert weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)


def test_initialization_of_timm_is_its_own() -> None:
    cfg = load_config(None, ["BACKBONE.TYPE", "timm/resnet18", "BACKBONE.INITIALIZATION", "fan_out"])
    with pytest.raises(UserError, match="timm/resnet18 has its own: set it to default"):
        build_model(cfg, 5)


def test_image_resnet_initial_batch_norms_are_identities() -> None:
    norms = [module for module in BACKBONES.get("res10")(OPTIONS).modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and all(bool((norm.weight == 1).all() and (norm.bias == 0).all()) for norm in norms)


def pretrained(path: Path) -> list[Any]:
    return ["BACKBONE.MULTI_NETWORK_TYPE", ["res10", "res10"], "BACKBONE.PRETRAINED_MODEL", str(path)]


@pytest.mark.slow
def test_build_network_fills_every_expert_from_torchvisions_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = TORCHVISION["res10"]().state_dict()
    del weights["layer4.0.bn2.bias"]
    torch.save(weights, tmp_path / "weights.pth")
    with caplog.at_level("INFO"):
        network, reports = build_network(load_config(None, pretrained(tmp_path / "weights.pth")), 5)
    assert [report["missing_in_the_file"] for report in reports] == [1, 1]
    for index in range(2):
        loaded = network.state_dict()[f"experts.{index}.backbone.layer4.0.conv2.weight"]
        assert torch.equal(loaded, weights["layer4.0.conv2.weight"])
    messages = [entry.message.split(": ", 1)[1] for entry in caplog.records]
    counts = "4,905,280 of 4,905,792 parameters loaded (100.0 %)"
    assert messages == [counts, "1 missing in the file: layer4.0.bn2.bias", "2 not used: fc.weight, fc.bias"] * 2


@pytest.mark.slow
def test_build_network_refuses_a_missing_backbone_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.pth does not exist"):
        build_network(load_config(None, pretrained(tmp_path / "absent.pth")), 5)
