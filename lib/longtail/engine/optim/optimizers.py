"""Optimizers by name."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.engine.optim.groups import merged, parameter_groups
from longtail.errors import UserError
from longtail.registry import Registry

Groups = list[dict[str, Any]]
OPTIMIZERS: Registry[Callable[[CfgNode, Groups, bool], torch.optim.Optimizer]] = Registry("optimizer")
TIMM = "timm/"


def build_optimizer(cfg: CfgNode, modules: Mapping[str, nn.Module], *, fused: bool) -> torch.optim.Optimizer:
    """Build the optimizer of TRAIN.OPTIMIZER over the trainable parameters of several modules.

    Args:
        cfg: Config.
        modules: Modules by name.
        fused: One kernel per step for all parameters; False: one per operation and parameter list.

    Raises:
        UserError: There is no such optimizer, or nothing is trainable.
    """
    keys = cfg.TRAIN.OPTIMIZER
    groups = merged(
        group
        for module in modules.values()
        for group in parameter_groups(
            module,
            weight_decay=keys.WEIGHT_DECAY,
            layer_decay=keys.LAYER_DECAY if hasattr(module, "layer_of") else 1.0,
            decay_1d=keys.DECAY_1D,
        )
    )
    if not groups:
        raise UserError("nothing is trainable: all parameters are frozen; BACKBONE.FREEZE keeps those of the backbones")
    if keys.TYPE.startswith(TIMM):
        return _timm_optimizer(cfg, groups)
    return OPTIMIZERS.get(keys.TYPE)(cfg, groups, fused)


def check_optimizer(cfg: CfgNode) -> None:
    """Refuse an optimizer that does not exist, before any data is read.

    Raises:
        UserError: Lists what there is.
    """
    name = cfg.TRAIN.OPTIMIZER.TYPE
    if not name.startswith(TIMM):
        OPTIMIZERS.get(name)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group, times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]


@OPTIMIZERS.register("SGD")
def sgd(cfg: CfgNode, groups: Groups, fused: bool) -> torch.optim.Optimizer:
    """Build SGD, with Nesterov momentum as in both releases unless NESTEROV is False."""
    keys = cfg.TRAIN.OPTIMIZER
    nesterov = keys.NESTEROV and keys.MOMENTUM > 0
    return torch.optim.SGD(groups, lr=keys.BASE_LR, momentum=keys.MOMENTUM, nesterov=nesterov, fused=fused)


@OPTIMIZERS.register("ADAM")
def adam(cfg: CfgNode, groups: Groups, fused: bool) -> torch.optim.Optimizer:
    """Build Adam; weight decay is added to the gradient."""
    keys = cfg.TRAIN.OPTIMIZER
    return torch.optim.Adam(groups, lr=keys.BASE_LR, betas=tuple(keys.BETAS), fused=fused)


@OPTIMIZERS.register("ADAMW")
def adamw(cfg: CfgNode, groups: Groups, fused: bool) -> torch.optim.Optimizer:
    """Build AdamW (arXiv 1711.05101)."""
    keys = cfg.TRAIN.OPTIMIZER
    return torch.optim.AdamW(groups, lr=keys.BASE_LR, betas=tuple(keys.BETAS), fused=fused)


def _timm_optimizer(cfg: CfgNode, groups: Groups) -> torch.optim.Optimizer:
    """Build an optimizer of timm by its name there."""
    from timm.optim._optim_factory import create_optimizer_v2, list_optimizers

    keys = cfg.TRAIN.OPTIMIZER
    name = keys.TYPE.removeprefix(TIMM)
    if name not in list_optimizers():
        raise UserError(f"TRAIN.OPTIMIZER.TYPE is {keys.TYPE!r}; timm has: {', '.join(map(str, list_optimizers()))}")
    # timm adds a group option of its own that would shadow ours; the scale is applied by `set_rate`.
    optimizer: torch.optim.Optimizer = create_optimizer_v2(
        groups, opt=name, lr=keys.BASE_LR, momentum=keys.MOMENTUM, weight_decay=keys.WEIGHT_DECAY
    )
    return optimizer
