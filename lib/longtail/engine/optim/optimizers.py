"""Optimizers by name."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.config import KEYS
from longtail.engine.optim.groups import merged, parameter_groups
from longtail.errors import UserError, one_line
from longtail.registry import Registry

Groups = list[dict[str, Any]]
OPTIMIZERS: Registry[Callable[[CfgNode, Groups, bool], torch.optim.Optimizer]] = Registry("optimizer")
TIMM = "timm/"


def build_optimizer(cfg: CfgNode, modules: Mapping[str, nn.Module], *, fused: bool) -> torch.optim.Optimizer:
    """Build the optimizer of TRAIN.OPTIMIZER over the trainable parameters of several modules.

    Args:
        cfg: Config.
        modules: Modules by name.
        fused: Use the fused implementation, one kernel per step for all parameters.

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
        raise UserError("nothing is trainable: all parameters are frozen; BACKBONE.FREEZE freezes the backbones")
    if keys.TYPE.startswith(TIMM):
        return _timm_optimizer(cfg, groups)
    return OPTIMIZERS.get(keys.TYPE)(cfg, groups, fused)


def check_optimizer(cfg: CfgNode) -> None:
    """Refuse an optimizer that does not exist or cannot be used, before any data is read.

    Raises:
        UserError: It is refused; the message lists the available ones.
    """
    name = cfg.TRAIN.OPTIMIZER.TYPE
    if name.startswith(TIMM):
        _check_timm(cfg)
    else:
        OPTIMIZERS.get(name)


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore the saved state of an optimizer, such as momentum; its options remain those that it was built with.

    What only a saved group has is state, too: some optimizers of timm count their steps there.

    Raises:
        ValueError: The groups have other numbers of parameters.
    """
    saved, own = state["param_groups"], optimizer.param_groups
    if len(saved) == len(own):  # otherwise torch refuses the state
        pairs = zip(saved, own, strict=True)
        state = {**state, "param_groups": [{**old, **new, "params": old["params"]} for old, new in pairs]}
    optimizer.load_state_dict(state)
    _match_layouts(optimizer)


def _match_layouts(optimizer: torch.optim.Optimizer) -> None:
    """Give loaded state, such as momentum, the memory layout of its parameter.

    TRAIN.CHANNELS_LAST may have changed. Fused optimizers on a GPU refuse another layout; those on a CPU would update
    the wrong elements.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


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


def _check_timm(cfg: CfgNode) -> None:
    """Refuse an optimizer that timm does not have, or that cannot be used.

    Raises:
        UserError: timm has no such optimizer, it needs second derivatives, or BETAS is set and it does not have two.
    """
    from timm.optim._optim_factory import get_optimizer_info, list_optimizers  # takes seconds

    name = cfg.TRAIN.OPTIMIZER.TYPE
    if name.removeprefix(TIMM) not in list_optimizers():
        raise UserError(f"TRAIN.OPTIMIZER.TYPE is {name!r}; timm has: {', '.join(map(str, list_optimizers()))}")
    info = get_optimizer_info(name.removeprefix(TIMM))
    if info.second_order:
        raise UserError(f"TRAIN.OPTIMIZER.TYPE {name} needs second derivatives, which are not computed")
    if _sets_betas(cfg) and not (info.has_betas and info.num_betas == 2):
        raise UserError(
            f"TRAIN.OPTIMIZER.BETAS is {cfg.TRAIN.OPTIMIZER.BETAS}; TRAIN.OPTIMIZER.TYPE {name} does not have two betas"
        )


def _sets_betas(cfg: CfgNode) -> bool:
    """Return whether the config sets BETAS; otherwise optimizers of timm use their own defaults."""
    return tuple(cfg.TRAIN.OPTIMIZER.BETAS) != KEYS["TRAIN.OPTIMIZER.BETAS"].default


def _timm_optimizer(cfg: CfgNode, groups: Groups) -> torch.optim.Optimizer:
    """Build an optimizer of timm by its name there."""
    from timm.optim._optim_factory import create_optimizer_v2

    _check_timm(cfg)
    keys = cfg.TRAIN.OPTIMIZER
    extra: dict[str, Any] = {"betas": tuple(keys.BETAS)} if _sets_betas(cfg) else {}
    try:
        # timm adds its own group option, which would shadow ours; the scale is applied by `set_rate`.
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            groups,
            opt=keys.TYPE.removeprefix(TIMM),
            lr=keys.BASE_LR,
            momentum=keys.MOMENTUM,
            weight_decay=keys.WEIGHT_DECAY,
            **extra,
        )
    except (AssertionError, ImportError, RuntimeError) as error:  # a library or device that it needs
        raise UserError(f"TRAIN.OPTIMIZER.TYPE {keys.TYPE} cannot be used: {one_line(error)}") from None
    return optimizer
