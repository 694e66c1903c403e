from typing import Any

import pytest
import torch

from longtail.config import load_config
from longtail.engine.optim import build_optimizer, parameter_groups, set_rate
from longtail.models import build_model

CASCADE = ("NETWORK.TYPE", "cascade", "CLASSIFIER.TYPE", "cosnorm")


def scales(*overrides: Any, layer_decay: float = 1.0) -> dict[str, float]:
    """Learning-rate scale of every parameter."""
    model = build_model(load_config(None, ["BACKBONE.TYPE", "res32_cifar", *overrides]), 10)
    groups = parameter_groups(model, weight_decay=0.1, layer_decay=layer_decay)
    return {name: group["lr_scale"] for group in groups for name in group["names"]}


def test_parameter_groups_scale_the_rate_of_the_trunk() -> None:
    found = scales(*CASCADE, "BACKBONE.LR_SCALE", 0.25)
    assert {name.split(".")[0]: scale for name, scale in found.items()} == {"trunk": 0.25, "branches": 1, "head": 1}
    decayed, plain = (scales(*CASCADE, "BACKBONE.LR_SCALE", scale, layer_decay=0.5) for scale in (0.1, 1.0))
    for name, scale in plain.items():
        assert decayed[name] == pytest.approx(scale * (0.1 if name.startswith("trunk.") else 1))


def test_parameter_groups_scale_the_rate_of_the_backbones_of_experts() -> None:
    found = scales("BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"] * 2, "BACKBONE.LR_SCALE", 0.5)
    assert {(name.split(".")[2], scale) for name, scale in found.items()} == {("backbone", 0.5), ("head", 1.0)}


def test_parameter_groups_put_branches_below_their_taps() -> None:
    found = scales(*CASCADE, layer_decay=0.5)
    depths = {"trunk.conv1": 4, "trunk.bn1": 4, "trunk.layer1": 3, "trunk.layer2": 2, "trunk.layer3": 1, "head": 0}
    depths |= {"branches.0": 3, "branches.1": 2}  # their taps are layer2 and layer3
    for name, scale in found.items():
        (depth,) = [depth for prefix, depth in depths.items() if name.startswith(f"{prefix}.")]
        assert scale == 0.5**depth, name


@pytest.mark.parametrize("decay_1d", [True, False])
def test_position_embedding_and_class_token_have_the_weight_decay_of_1d_parameters(decay_1d: bool) -> None:
    model = build_model(load_config(None, ["BACKBONE.TYPE", "timm/test_vit"]), 10)
    groups = parameter_groups(model, weight_decay=0.1, decay_1d=decay_1d)
    decays = {name: group["weight_decay"] for group in groups for name in group["names"]}
    free = {name for name, value in model.named_parameters() if value.dim() == 1}
    free |= {"experts.0.backbone.pos_embed", "experts.0.backbone.cls_token"}
    assert decays == {name: 0.1 if decay_1d or name not in free else 0.0 for name in decays}
    assert free < decays.keys()


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["SGD", "ADAMW"])
def test_trunk_with_scale_0_keeps_its_parameters_while_its_statistics_move(optimizer: str) -> None:
    torch.manual_seed(0)
    keys = ["BACKBONE.TYPE", "res32_cifar", "BACKBONE.LR_SCALE", 0.0, "TRAIN.OPTIMIZER.TYPE", optimizer]
    cfg = load_config(None, [*CASCADE, *keys])
    model: Any = build_model(cfg, 10)
    built = build_optimizer(cfg, {"network": model}, fused=False)
    set_rate(built, 0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss: Any = model(torch.randn(4, 3, 32, 32)).logits.square().mean()
    loss.backward()
    built.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    statistics = {f"trunk.{name}" for name, _ in model.trunk.named_buffers()}
    assert {name for name in changed if name.startswith("trunk.")} == statistics
    assert {"head.weight", "branches.0.head.weight", "branches.1.body.convolutions.0.weight"} <= changed


def test_final_norm_of_a_vision_transformer_is_in_the_layer_of_the_head() -> None:
    found = scales("BACKBONE.TYPE", "timm/test_vit", layer_decay=0.5)
    last = {name for name, scale in found.items() if scale == 1}
    backbone = "experts.0.backbone"
    assert last == {f"{backbone}.norm.weight", f"{backbone}.norm.bias", "experts.0.head.weight", "experts.0.head.bias"}
    assert found[f"{backbone}.blocks.5.norm1.weight"] == 0.5
    assert found[f"{backbone}.cls_token"] == 0.5**7
