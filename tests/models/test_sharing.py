"""Experts that share a trunk: outputs and cost, weights by name, training, resume, errors."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from longtail.checkpoint_file import read_checkpoint
from longtail.config import load_config
from longtail.engine.interrupts import Interrupted
from longtail.engine.optim import parameter_groups
from longtail.engine.trainer import Trainer
from longtail.errors import UserError
from longtail.models import (
    BACKBONES,
    BackboneOptions,
    Network,
    build_model,
    load_backbone_weights,
    load_released_weights,
    start_from,
)
from longtail.models.activation_maps import activation_maps
from longtail.stages.checks import check_names
from longtail.stages.network import backbones_of
from tests.helpers.training import (
    BATCHES,
    TinyConfig,
    assert_same,
    read_records,
    stop_after,
    tiny_config,
    train,
    values,
)
from tests.helpers.training import SHARED as NESTED
from tests.helpers.training_fixtures import no_figures, tiny_cfg
from tests.helpers.worlds import train_in_worlds

__all__ = ["no_figures", "tiny_cfg"]

SHARED = "NETWORK.SHARED_TO"
IMAGES = (2, 3, 32, 32)


def network(
    shared: str = "layer2", *overrides: Any, experts: int = 3, backbone: str = "res32_cifar", seed: int = 0
) -> Network:
    torch.manual_seed(seed)
    cfg = load_config(None, ["BACKBONE.MULTI_NETWORK_TYPE", [backbone] * experts, SHARED, shared, *overrides])
    model = build_model(cfg, 10)
    assert isinstance(model, Network)
    return model


def backbone_parameters(model: nn.Module) -> int:
    return sum(value.numel() for name, value in model.named_parameters() if ".head." not in name)


@pytest.mark.parametrize(
    ("backbone", "shared"), [("res32_cifar", "layer1"), ("res32_cifar", "layer2"), ("res10", "layer3")]
)
def test_one_expert_with_a_trunk_equals_a_separate_expert(backbone: str, shared: str) -> None:
    whole = network("", experts=1, backbone=backbone).eval()
    split = network(shared, experts=1, backbone=backbone).eval()
    images = torch.randn(IMAGES)
    assert_same(split(images).logits, whole(images).logits)


@pytest.mark.slow
def test_experts_compute_trunk_then_their_own_stages() -> None:
    """Oracle: three whole backbones whose stem, layer1 and layer2 are set to those of the trunk, one after another."""
    model = network().eval()
    images = torch.randn(IMAGES)
    out = model(images)
    assert model.trunk
    for number, expert in enumerate(model.experts):
        whole = BACKBONES.get("res32_cifar")
        backbone = whole(BackboneOptions()).eval()
        own: dict[str, Tensor] = {**model.trunk.state_dict(), **expert.get_submodule("backbone").state_dict()}
        backbone.load_state_dict(own)
        features = backbone(images).mean((2, 3))
        torch.testing.assert_close(out.features[number], features)
        torch.testing.assert_close(out.logits[number], expert.get_submodule("head")(features))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shared", "parameters", "multiplications"),
    [("", 1_390_512, 206.587776), ("layer1", 1_342_864, 158.51712), ("layer2", 1_166_480, 113.690496)],
)
def test_parameters_and_multiplications(shared: str, parameters: int, multiplications: float) -> None:
    model = network(shared).eval()
    assert backbone_parameters(model) == parameters
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 32, 32))
    assert counter.get_total_flops() / 2e6 == pytest.approx(multiplications)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["res10", "res50", "resnext50"])
def test_image_networks_share_their_first_stages(backbone: str) -> None:
    with torch.device("meta"):
        whole = BACKBONES.get(backbone)
        names = [name for name in whole(BackboneOptions()).state_dict() if name.startswith(("layer3", "layer4"))]
        model = network(backbone=backbone, experts=2)
        assert list(model.experts[1].get_submodule("backbone").state_dict()) == names
        assert model(torch.zeros(2, 3, 64, 64)).features.shape == (2, 2, 512 if backbone == "res10" else 2048)


def test_layers_and_rates_are_those_of_separate_backbones() -> None:
    whole, shared = network(""), network("layer2", "BACKBONE.LR_SCALE", 0.1)
    assert shared.num_layers == whole.num_layers == 5
    assert shared.layer_of("trunk.conv1.weight") == whole.layer_of("experts.0.backbone.conv1.weight") == 0
    assert shared.layer_of("trunk.layer2.0.conv1.weight") == whole.layer_of("experts.0.backbone.layer2.0.conv1.weight")
    name = "experts.1.backbone.layer3.0.conv1.weight"
    assert shared.layer_of(name) == whole.layer_of(name) == 3
    scales = {name: group["lr_scale"] for group in parameter_groups(shared, weight_decay=0) for name in group["names"]}
    assert scales["trunk.conv1.weight"] == scales[name] == 0.1
    assert scales["experts.0.head.weight"] == 1


@pytest.mark.slow
def test_every_expert_changes_the_trunk() -> None:
    model = network()
    assert model.trunk
    gradients = []
    for number in range(3):
        model.zero_grad()
        model(torch.randn(IMAGES)).logits[number].sum().backward()
        gradient = model.trunk.get_parameter("conv1.weight").grad
        assert gradient is not None
        gradients.append(gradient)
        others = [expert for other, expert in enumerate(model.experts) if other != number]
        assert all(
            parameter.grad is None or not parameter.grad.any() for expert in others for parameter in expert.parameters()
        )
    assert all(bool(gradient.any()) for gradient in gradients)


@pytest.mark.slow
def test_own_weights_load_by_name() -> None:
    first, second = network(), network(seed=1)
    report = load_released_weights(second, first.state_dict())
    assert not report.missing and not report.unexpected
    assert_same(dict(second.state_dict()), dict(first.state_dict()))


def test_weights_of_separate_experts_fill_the_trunk_with_the_first_ones() -> None:
    whole, shared = network("").state_dict(), network(seed=1)
    report = start_from(shared, whole)
    assert not report.missing
    assert all(name.startswith(("experts.1.backbone.", "experts.2.backbone.")) for name in report.unexpected)
    assert torch.equal(
        shared.state_dict()["trunk.layer2.1.conv1.weight"], whole["experts.0.backbone.layer2.1.conv1.weight"]
    )
    name = "experts.2.backbone.layer3.1.conv1.weight"
    assert torch.equal(shared.state_dict()[name], whole[name])


def test_backbone_file_fills_trunk_and_stages() -> None:
    weights, model = network("", experts=1, seed=1).experts[0].get_submodule("backbone").state_dict(), network()
    file = {f"module.{name}": value for name, value in weights.items()}
    assert [number for number, _ in backbones_of(model)] == [0, 0, 1, 2]
    for number, backbone in backbones_of(model):
        report = load_backbone_weights(backbone, file, expert=number)
        assert not report.missing
    state = model.state_dict()
    assert torch.equal(state["trunk.conv1.weight"], weights["conv1.weight"])
    for number in range(3):
        name = "layer3.4.conv2.weight"
        assert torch.equal(state[f"experts.{number}.backbone.{name}"], weights[name])


def test_whole_expert_gives_activation_maps() -> None:
    model = network().eval()
    images, labels = torch.randn(IMAGES), torch.tensor([1, 2])
    expert = model.whole_expert(0)
    assert activation_maps(expert, images, labels=labels).shape == (2, 8, 8)
    torch.testing.assert_close(expert(images)[0], model(images).logits[0])


def test_frozen_backbone_includes_the_trunk() -> None:
    still, moving = (
        network("layer2", "BACKBONE.FREEZE", True),
        network("layer2", "BACKBONE.FREEZE", True, "BACKBONE.FROZEN_STATISTICS", "moving"),
    )
    trained = [name for name, parameter in still.named_parameters() if parameter.requires_grad]
    assert trained == [f"experts.{number}.head.{part}" for number in range(3) for part in ("weight", "bias")]
    assert still.trunk and moving.trunk
    for mode in (True, False):
        still.train(mode), moving.train(mode)
        assert not still.trunk.training
        assert moving.trunk.training is mode


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar", "res10"]], "all experts must have the same backbone"),
        (["NETWORK.TYPE", "cascade", "BACKBONE.TYPE", "res32_cifar"], "NETWORK.TYPE must be experts"),
        (["NETWORK.MOCO", True], "NETWORK.MOCO must be False"),
    ],
)
def test_check_refuses_networks_without_a_common_trunk(overrides: list[Any], message: str) -> None:
    cfg = load_config("digits_lt,ncl", [SHARED, "layer2", *overrides])
    with pytest.raises(UserError, match=rf"NETWORK\.SHARED_TO is 'layer2': .*{message}") as error:
        check_names(cfg)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("stage", "backbone", "message"),
    [
        ("layer3", "res32_cifar", "the last stage; allowed: layer1, layer2"),
        ("layer5", "res32_cifar", "has no 'layer5'; available: layer1, layer2, layer3"),
        ("blocks.1", "timm/vit_tiny_patch16_224", "only residual networks"),
    ],
)
def test_build_refuses_other_stages(stage: str, backbone: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        network(stage, backbone=backbone, experts=1)


@pytest.mark.slow
def test_nested_loss_trains_it_and_it_resumes_bit_by_bit(tiny_cfg: TinyConfig, tmp_path: Path) -> None:
    settings = ["TRAIN.EMA.DECAY", 0.5, "TRAIN.OPTIMIZER.CLIP_NORM", 1.0]
    whole = train(tiny_cfg(*settings, "OUTPUT_DIR", str(tmp_path / "whole"), method=NESTED))
    losses = [record["loss"] for record in read_records(whole, "train")]
    assert losses[-1] < losses[0]
    with pytest.MonkeyPatch.context() as patch:
        stop_after(BATCHES + 2, patch)
        with pytest.raises(Interrupted):
            train(tiny_cfg(*settings, method=NESTED))
    resumed = train(tiny_cfg(*settings, method=NESTED))
    assert_same(values(whole), values(resumed))
    assert "trunk.first.0.weight" in read_checkpoint(resumed.last)["model"]


def look(trainer: Trainer) -> Any:
    return {name: value.detach() for name, value in trainer.training.network.named_parameters()}


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_global_batch(tmp_path: Path) -> None:
    settings = ["EVAL_MODE", True, "DATASET.VIEWS", ["none"], "DROPOUT", False, "TRAIN.MAX_EPOCH", 1]
    results = train_in_worlds(
        lambda world: tiny_config(
            tmp_path / f"world{world}", *settings, "TRAIN.BATCH_SIZE", 64 // world, method=NESTED
        ),
        tmp_path,
        worlds=[1, 2],
        look=look,
    )
    (alone,), (first, second) = results[1], results[2]
    assert_same(first, second)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-5, msg=name)
