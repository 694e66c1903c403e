"""Networks of ResNet-32, and helpers for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.models import Expert, Network, build_model


def res32(*overrides: Any, experts: int = 1, num_classes: int = 10) -> Network:
    """Build a network of ResNet-32 experts, from seed 0."""
    torch.manual_seed(0)
    names = ["BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"] * experts]
    model = build_model(load_config(None, [*names, *overrides]), num_classes)
    assert isinstance(model, Network)
    return model


def expert_of(model: Network, index: int = 0) -> Any:
    """Return an expert; Any, because its parts are modules of many kinds."""
    expert = model.experts[index]
    assert isinstance(expert, Expert)
    return expert


def count_parameters(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the state of a module."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def same_state(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Return whether two states have the same names and values."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def position_embedded(grid: tuple[int, int], shape: Sequence[int], *, prefix: int = 1) -> nn.Module:
    """Return a module with what a vision transformer has for its position embedding: of a grid of patches, zeros."""
    module: Any = nn.Module()
    module.patch_embed = nn.Module()
    module.patch_embed.grid_size = grid
    module.num_prefix_tokens, module.no_embed_class = prefix, False
    module.pos_embed = nn.Parameter(torch.zeros(*shape))
    return module
