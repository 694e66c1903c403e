"""Experts, and networks of them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.engine.optim import parameter_groups
from longtail.errors import UserError
from longtail.models import Expert, Network, build_model
from tests.helpers.networks import count_parameters, expert_of, res32


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("experts", [1, 3])
def test_network_output_shapes(experts: int, images: Tensor) -> None:
    output = res32(experts=experts, num_classes=7)(images)
    assert output.logits.shape == (experts, 2, 7)
    assert output.features.shape == (experts, 2, 64)
    assert output.projections is None


def test_network_logits_are_the_heads_of_the_features(images: Tensor) -> None:
    model = res32(experts=2)
    model.eval()
    output = model(images)
    for index in range(2):
        expert = expert_of(model, index)
        torch.testing.assert_close(expert.head(output.features[index]), output.logits[index])
        torch.testing.assert_close(expert.backbone(images).mean((2, 3)), output.features[index])


def test_network_experts_start_from_different_weights(images: Tensor) -> None:
    model = res32(experts=2)
    model.eval()
    logits = model(images).logits
    assert not torch.allclose(logits[0], logits[1])


def test_network_size() -> None:
    assert count_parameters(res32(num_classes=100)) == 470_004
    assert len(res32(experts=3).state_dict()) == 564


def test_network_heads_and_description() -> None:
    model = res32("CLASSIFIER.TYPE", "FCNorm", experts=2)
    assert model.heads == [expert_of(model, index).head for index in range(2)]
    assert model.head_kinds == ["FCNorm", "FCNorm"]
    assert model.description == "2 x res32_cifar with FCNorm heads"
    assert res32("NETWORK.MOCO", True).description == "1 x res32_cifar with FC heads and projections"


def test_network_description_of_several_backbones() -> None:
    heads = [Expert(nn.Flatten(), nn.Linear(12, 3)) for _ in range(3)]
    network = Network(heads, names=["a", "b", "a"])
    assert network.description == "2 x a + 1 x b with FC heads"
    assert Network(heads).description == "3 x Flatten with FC heads"


def test_network_channels_last_gives_the_same_outputs(images: Tensor) -> None:
    model = res32(experts=2)
    model.eval()
    with torch.no_grad():
        plain = model(images)
        model.to(memory_format=torch.channels_last)
        other = model(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(other.logits, plain.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(other.features, plain.features, rtol=1e-5, atol=1e-5)


# Layers for layer-wise decay


def test_network_layer_of_and_num_layers() -> None:
    model = res32("NETWORK.MOCO", True, experts=2)
    assert model.num_layers == 5  # stem, three stages, heads
    layers = {name: model.layer_of(name) for name, _ in model.named_parameters()}
    for index in range(2):
        path = f"experts.{index}"
        assert layers[f"{path}.backbone.conv1.weight"] == layers[f"{path}.backbone.bn1.bias"] == 0
        assert [layers[f"{path}.backbone.layer{k}.0.conv1.weight"] for k in (1, 2, 3)] == [1, 2, 3]
        assert layers[f"{path}.head.weight"] == layers[f"{path}.projection.0.weight"] == 4
    assert set(layers.values()) == set(range(5))


@pytest.mark.slow
def test_network_no_decay_names_parameters_of_the_backbones() -> None:
    assert res32(experts=2).no_decay() == set()
    names = ["timm/vit_tiny_patch16_224"] * 2
    with torch.device("meta"):
        model: Any = build_model(load_config(None, ["BACKBONE.MULTI_NETWORK_TYPE", names, "INPUT_SIZE", [64, 64]]), 5)
    expected = {f"experts.{index}.backbone.{name}" for index in range(2) for name in ("pos_embed", "cls_token")}
    assert model.no_decay() & {name for name, _ in model.named_parameters()} == expected
    assert model.num_layers == 14  # embedding, 12 blocks, heads


def test_network_parameter_groups_with_layer_decay() -> None:
    groups = parameter_groups(res32(), weight_decay=1e-4, layer_decay=0.5, decay_1d=False)
    scales = {name: (group["lr_scale"], group["weight_decay"]) for group in groups for name in group["names"]}
    assert scales["experts.0.head.weight"] == (1.0, 1e-4)
    assert scales["experts.0.head.bias"] == (1.0, 0.0)
    assert scales["experts.0.backbone.layer3.0.conv1.weight"] == (0.5, 1e-4)
    assert scales["experts.0.backbone.conv1.weight"] == (0.5**4, 1e-4)
    assert scales["experts.0.backbone.bn1.weight"] == (0.5**4, 0.0)


# Frozen backbones, dropout


@pytest.mark.parametrize(("statistics", "frozen"), [("still", True), ("moving", False)])
def test_network_with_frozen_backbones(statistics: str, frozen: bool, images: Tensor) -> None:
    model = res32("BACKBONE.FREEZE", True, "BACKBONE.FROZEN_STATISTICS", statistics, experts=2)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {f"experts.{k}.head.{part}" for k in (0, 1) for part in ("weight", "bias")}
    before = expert_of(model).backbone.bn1.running_mean.clone()
    model(images)
    assert torch.equal(expert_of(model).backbone.bn1.running_mean, before) == frozen


def test_network_dropout_acts_before_the_head_in_training_only(images: Tensor) -> None:
    model = res32("DROPOUT", True)
    seen: list[Tensor] = []
    model.heads[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features = model(images).features[0]
    dropped = seen[-1] == 0
    assert 0.3 < dropped.float().mean() < 0.7
    torch.testing.assert_close(seen[-1][~dropped], 2 * features[~dropped])
    model.eval()
    features = model(images).features[0]
    assert torch.equal(seen[-1], features)


def test_network_without_dropout_passes_the_features(images: Tensor) -> None:
    seen: list[Tensor] = []
    model = res32()
    model.heads[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert torch.equal(model(images).features[0], seen[-1])


# Errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifer"]],
            "unknown backbone 'res32_cifer'.*did you mean res32_cifar",
        ),
        (["CLASSIFIER.TYPE", "fcnorm"], "unknown head 'fcnorm'.*did you mean FCNorm"),
        (["NETWORK.TYPE", "expert"], "'expert'"),
        (["BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar", "timm/resnet18"]], r"one width, not \[64, 512\]"),
    ],
)
def test_build_model_refuses(overrides: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        res32(*overrides)


def test_expert_without_pooling_refuses_feature_maps(images: Tensor) -> None:
    model = res32("MODULE.TYPE", "Identity")
    with pytest.raises(UserError, match=r"^MODULE.TYPE Identity needs a backbone that returns vectors"):
        model(images)
