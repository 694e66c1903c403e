"""The interface of backbones: taps, layers, parameters without weight decay."""

from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.errors import UserError
from longtail.models import BACKBONES, Backbone, BackboneOptions
from longtail.models.backbones import check_taps

OPTIONS = BackboneOptions((64, 64))
VIT = "timm/vit_tiny_patch16_224"
TAPS: dict[str, dict[str, tuple[int, ...]]] = {  # name -> tap -> shape behind the batch, for images of 64 pixels
    "res32_cifar": {"layer1": (16, 64, 64), "layer2": (32, 32, 32), "layer3": (64, 16, 16)},
    "res50": {"layer1": (256, 16, 16), "layer2": (512, 8, 8), "layer3": (1024, 4, 4), "layer4": (2048, 2, 2)},
    "timm/resnet18": {
        "act1": (64, 32, 32),
        "layer1": (64, 16, 16),
        "layer2": (128, 8, 8),
        "layer3": (256, 4, 4),
        "layer4": (512, 2, 2),
    },
    VIT: {f"blocks.{index}": (17, 192) for index in range(12)},  # the class token and 4 x 4 patches
}
NAMES = pytest.mark.parametrize("name", TAPS)


def on_meta(name: str) -> Backbone:
    with torch.device("meta"):
        return BACKBONES.get(name)(OPTIONS)


def meta_images(name: str) -> Tensor:
    return torch.empty(2, 3, 64, 64, device="meta")


@pytest.mark.slow
@NAMES
def test_backbone_taps_are_the_widths_of_the_intermediate_outputs(name: str) -> None:
    backbone = on_meta(name)
    axis = -1 if name == VIT else 0
    assert dict(backbone.taps) == {tap: shape[axis] for tap, shape in TAPS[name].items()}


@pytest.mark.slow
@NAMES
def test_forward_taps_returns_the_output_and_the_named_taps(name: str) -> None:
    backbone, images = on_meta(name), meta_images(name)
    names = [list(TAPS[name])[-1], list(TAPS[name])[1]]  # in any order
    output, tapped = backbone.forward_taps(images, names)
    assert output.shape == backbone(images).shape
    assert output.shape[1] == backbone.out_features
    assert set(tapped) == set(names)
    assert {tap: tuple(value.shape[1:]) for tap, value in tapped.items()} == {tap: TAPS[name][tap] for tap in names}


@pytest.mark.slow
@NAMES
def test_forward_taps_without_names_is_forward(name: str) -> None:
    backbone, images = on_meta(name), meta_images(name)
    output, tapped = backbone.forward_taps(images, [])
    assert tapped == {} and output.shape == backbone(images).shape


@pytest.mark.slow
@pytest.mark.parametrize("name", ["res32_cifar", "timm/resnet18", VIT])
def test_forward_taps_output_equals_forward(name: str) -> None:
    torch.manual_seed(0)
    backbone = BACKBONES.get(name)(OPTIONS).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        output, tapped = backbone.forward_taps(images, list(backbone.taps)[-2:])
        torch.testing.assert_close(output, backbone(images))
    assert len(tapped) == 2


def test_forward_taps_of_stages_are_the_inputs_of_the_next() -> None:
    torch.manual_seed(0)
    backbone: Any = BACKBONES.get("res32_cifar")(OPTIONS).eval()
    with torch.no_grad():
        output, tapped = backbone.forward_taps(torch.randn(2, 3, 32, 32), ["layer2", "layer3"])
        torch.testing.assert_close(backbone.layer3(tapped["layer2"]), tapped["layer3"])
    assert torch.equal(tapped["layer3"], output)


@pytest.mark.slow
def test_forward_taps_of_vision_transformers_are_all_tokens() -> None:
    """The last block's tokens give the features: norm, then the class token."""
    torch.manual_seed(0)
    backbone: Any = BACKBONES.get(VIT)(OPTIONS).eval()
    with torch.no_grad():
        output, tapped = backbone.forward_taps(torch.randn(2, 3, 64, 64), ["blocks.5", "blocks.11"])
        torch.testing.assert_close(backbone.norm(tapped["blocks.11"])[:, 0], output)
        following = tapped["blocks.5"]
        for index in range(6, 12):
            following = backbone.blocks[index](following)
        torch.testing.assert_close(following, tapped["blocks.11"])


LAYERS = {
    "res32_cifar": (4, {"conv1.weight": 0, "bn1.bias": 0, "layer1.0.conv1.weight": 1, "layer3.4.bn2.weight": 3}),
    "res50": (5, {"conv1.weight": 0, "layer1.0.downsample.0.weight": 1, "layer4.2.conv3.weight": 4}),
    "timm/resnet18": (None, {"conv1.weight": 0, "bn1.weight": 0}),
    VIT: (13, {"patch_embed.proj.weight": 0, "cls_token": 0, "pos_embed": 0, "blocks.0.mlp.fc1.weight": 1}),
}


@pytest.mark.slow
@NAMES
def test_layer_of_and_num_layers(name: str) -> None:
    backbone, (number, expected) = on_meta(name), LAYERS[name]
    layers = {key: backbone.layer_of(key) for key, _ in backbone.named_parameters()}
    heads = {backbone.num_layers} if name == VIT else set()  # its last norm belongs to the layer of the head
    assert set(layers.values()) == set(range(backbone.num_layers)) | heads
    assert number is None or backbone.num_layers == number
    assert {key: layers[key] for key in expected} == expected


@pytest.mark.slow
def test_layer_of_vision_transformers_rises_with_the_blocks() -> None:
    backbone = on_meta(VIT)
    assert [backbone.layer_of(f"blocks.{index}.attn.qkv.weight") for index in range(12)] == list(range(1, 13))
    assert backbone.layer_of("norm.weight") == 13


@pytest.mark.slow
@NAMES
def test_no_decay_names_embeddings_of_vision_transformers(name: str) -> None:
    backbone = on_meta(name)
    named = backbone.no_decay() & {key for key, _ in backbone.named_parameters()}
    assert named == ({"pos_embed", "cls_token"} if name == VIT else set())


def test_check_taps_lists_the_nearest() -> None:
    backbone = on_meta("res32_cifar")
    check_taps(backbone, ["layer1", "layer3"], key="NETWORK.TAPS")
    message = r"^NETWORK.TAPS: the backbone has no 'layer4'; available: layer1, layer2, layer3; did you mean layer\d\?$"
    with pytest.raises(UserError, match=message):
        check_taps(backbone, ["layer1", "layer4"], key="NETWORK.TAPS")


def test_backbone_interface_without_implementation() -> None:
    backbone = Backbone()
    assert backbone.no_decay() == set()
    for call in (
        lambda: backbone.num_layers,
        lambda: backbone.layer_of("x"),
        lambda: backbone.forward_taps(torch.empty(0), ()),
    ):
        with pytest.raises(NotImplementedError):
            call()
