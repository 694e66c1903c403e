"""Backbones for large images: sizes, names, initial values, released outputs, weights files, timm's models."""

import pytest
import torch
from golden_records import record, relative_error, released_parameters, tensor
from torch import nn
from torchvision.models import resnet

from longtail.config import load_config
from longtail.engine.assembly import build_network
from longtail.engine.preflight import check_names
from longtail.errors import UserError
from longtail.models import BACKBONES, build_model, load_backbone_weights, load_released_weights

SIZES = {
    "res10": (512, 4_905_792),
    "res50": (2048, 23_508_032),
    "res152": (2048, 58_143_808),
    "resnext50": (2048, 22_979_904),
}
DIGITS = ["DATASET.DATASET", "digits_lt"]
TORCHVISION = {
    "res10": lambda: resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1]),
    "res50": resnet.resnet50,
    "res152": resnet.resnet152,
    "resnext50": resnet.resnext50_32x4d,
}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_names(name):
    with torch.device("meta"):
        backbone, whole = BACKBONES.get(name)(), TORCHVISION[name]()
    assert (backbone.out_features, count(backbone)) == SIZES[name]
    theirs = {key: value.shape for key, value in whole.state_dict().items() if not key.startswith("fc.")}
    assert {key: value.shape for key, value in backbone.state_dict().items()} == theirs
    assert backbone(torch.empty(2, 3, 224, 192, device="meta")).shape == (2, SIZES[name][0], 7, 6)


def test_the_feature_map_is_torchvisions():
    torch.manual_seed(0)
    whole, ours = TORCHVISION["res10"]().eval(), BACKBONES.get("res10")().eval()
    assert load_backbone_weights(ours, whole.state_dict()).missing == []
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(whole.fc(ours(images).mean((2, 3))), whole(images))


def test_ncls_released_resnet50_gives_the_released_outputs():
    network = next(network for network in record("networks")["networks"] if network["name"] == "ncl_res50_cos")
    model = build_model(load_config(None, network["options"]), network["num_classes"]).eval()
    report = load_released_weights(model, released_parameters(network["parameters"]))
    assert (report.missing, report.unexpected) == ([], [])
    with torch.no_grad():
        output = model(tensor("networks", "ncl_res50_cos.images"))
    for name in ("features", "logits"):
        assert relative_error(getattr(output, name), tensor("networks", f"ncl_res50_cos.{name}")) < 1e-4


def test_initial_convolutions():
    torch.manual_seed(0)
    normal, default = BACKBONES.get("res10")().layer4[0].conv2.weight, BACKBONES.get("res50")().layer1[0].conv2.weight
    assert normal.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    bound = (1 / (9 * 64)) ** 0.5
    assert default.abs().max().item() == pytest.approx(bound, rel=0.001)
    assert default.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)


def test_batch_norms_begin_as_identities():
    norms = [module for module in BACKBONES.get("res10")().modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(bool((norm.weight == 1).all() and (norm.bias == 0).all()) for norm in norms)


# ------------------------------------------------------------------ weights from a file


def settings(path):
    return load_config(
        None, ["BACKBONE.MULTI_NETWORK_TYPE", ["res10", "res10"], "BACKBONE.PRETRAINED_MODEL", str(path)]
    )


def test_weights_of_torchvision_fill_every_expert(tmp_path, caplog):
    weights = TORCHVISION["res10"]().state_dict()
    del weights["layer4.0.bn2.bias"]
    torch.save(weights, tmp_path / "weights.pth")
    with caplog.at_level("INFO"):
        network = build_network(settings(tmp_path / "weights.pth"), 5)
    for expert in network.experts:
        assert torch.equal(expert.backbone.layer4[0].conv2.weight, weights["layer4.0.conv2.weight"])
    messages = [record.message.split(": ", 1)[1] for record in caplog.records]
    loaded = f"{len(weights) - 2} parameters loaded"
    assert messages == [loaded, "1 missing in the file: layer4.0.bn2.bias", "2 not used: fc.weight, fc.bias"] * 2


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"absent\.pth does not exist"):
        build_network(settings(tmp_path / "absent.pth"), 5)


# ------------------------------------------------------------------ timm


@pytest.mark.parametrize(
    ("name", "width", "side"), [("resnet18", 512, 64), ("vit_tiny_patch16_224", 192, 224), ("lcnet_035", 1280, 64)]
)
def test_timms_models_give_vectors_of_the_width_that_they_state(name, width, side):
    cfg = load_config(None, [*DIGITS, "BACKBONE.TYPE", f"timm/{name}"])
    check_names(cfg)
    model = build_model(cfg, 7)
    output = model.eval()(torch.zeros(2, 3, side, side))
    assert output.features.shape == (1, 2, width)
    assert output.logits.shape == (1, 2, 7)


def test_experts_of_different_width_are_refused():
    with pytest.raises(UserError, match=r"one width, not \[64, 512\]"):
        build_model(load_config(None, ["BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar", "timm/resnet18"]]), 7)


def test_timms_parameter_names_stay():
    import timm

    weights = timm.create_model("resnet18", num_classes=5).state_dict()
    report = load_backbone_weights(BACKBONES.get("timm/resnet18")(), weights)
    assert (report.missing, report.unexpected) == ([], ["fc.weight", "fc.bias"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnet81", r"unknown backbone 'timm/resnet81'; timm .* models, the nearest are .*timm/resnet18"),
        ("timm/qqqqqq", "none of a similar name"),
        ("tim/resnet18", "unknown library of backbones 'tim'; there is: timm; did you mean timm"),
        ("res51", "unknown backbone 'res51'; there is: .*; did you mean res50"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name, message):
    with pytest.raises(UserError, match=message):
        check_names(load_config(None, [*DIGITS, "BACKBONE.TYPE", name]))
