"""Parameter groups: weight decay and learning-rate scale of every parameter."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn


def parameter_groups(
    model: nn.Module, *, weight_decay: float, layer_decay: float = 1.0, decay_1d: bool = True
) -> list[dict[str, Any]]:
    """Return the trainable parameters of a model, grouped for an optimizer.

    Layer-wise decay (BEiT, arXiv 2106.08254): layer l of L has the learning-rate scale layer_decay^(L - 1 - l).

    Args:
        model: Module. For layer-wise decay it must have `layer_of(name)` and `num_layers`. `no_decay()`, if it exists,
            names further parameters without weight decay; `lr_scales`, if it exists, maps prefixes of parameter names
            to further factors of the learning rate.
        weight_decay: Weight decay.
        layer_decay: Factor between the learning rates of neighboring layers; 1: one rate for all.
        decay_1d: Apply weight decay also to parameters with one dimension, and to those of `no_decay()`.

    Returns:
        Groups {"params", "names", "weight_decay", "lr_scale"}, in the order of their first parameter.
    """
    without = set() if decay_1d or not hasattr(model, "no_decay") else set(model.no_decay())  # type: ignore[operator]
    factors: Mapping[str, float] = getattr(model, "lr_scales", {})
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = weight_decay if decay_1d or (parameter.dim() > 1 and name not in without) else 0.0
        scale = 1.0 if layer_decay == 1 else layer_decay ** _depth(model, name)
        scale *= math.prod(factor for prefix, factor in factors.items() if name.startswith(prefix))
        group = groups.setdefault((decay, scale), {"params": [], "names": [], "weight_decay": decay, "lr_scale": scale})
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def _depth(model: Any, name: str) -> int:
    """Return the number of layers between a parameter and the last layer."""
    return int(model.num_layers - 1 - model.layer_of(name))


def merged(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups of several modules, merged if they have the same weight decay and scale."""
    result: dict[tuple[float, float], dict[str, Any]] = {}
    for group in groups:
        first = result.setdefault((group["weight_decay"], group["lr_scale"]), {**group, "params": [], "names": []})
        first["params"].extend(group["params"])
        first["names"].extend(group["names"])
    return list(result.values())
