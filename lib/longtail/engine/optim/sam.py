"""Sharpness-aware minimization: the gradient is computed where the loss in a neighborhood of the weights is highest."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.distributed import Place
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods import METHODS, method_entry

EPSILON = 1e-12  # added to the norm, as in the paper's code


class SharpnessAware:
    """SAM, Foret et al., ICLR 2021, arXiv 2010.01412, eq. 2, for any optimizer.

    With the gradient g of the loss L at the weights w, a step computes the gradient

        g' = grad L(w + rho g / (|g| + 1e-12)),

    where |g| is the Euclidean norm over all parameters, and the optimizer applies g' to w. A step costs two forward and
    two backward passes. There is no state between steps, so nothing is saved. With several processes g is the gradient
    of the global batch.

    Args:
        optimizer: Optimizer of the parameters.
        modules: Modules whose batch norms are handled.
        rho: Length of the step to w + rho g / |g|.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, modules: Iterable[nn.Module], *, rho: float) -> None:
        self.parameters: list[Tensor] = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.batch_norms = [
            part
            for module in modules
            for part in module.modules()
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats
        ]
        self.rho = rho

    @contextmanager
    def ascended(self) -> Iterator[None]:
        """Within the block, the weights are w + rho g / |g| for their current gradients g; afterwards exactly w again.

        Batch norms normalize by the batch as usual, but their statistics are not updated in the block.
        """
        changed: list[Tensor] = [parameter for parameter in self.parameters if parameter.grad is not None]
        before = [parameter.detach().clone() for parameter in changed]
        self._ascend(changed)
        self._track(False)
        try:
            yield
        finally:
            self._track(True)
            with torch.no_grad():
                torch._foreach_copy_(changed, before)

    @torch.no_grad()
    def _ascend(self, parameters: list[Tensor]) -> None:
        gradients: list[Tensor] = [parameter.grad for parameter in parameters if parameter.grad is not None]
        scale = self.rho / (torch.nn.utils.get_total_norm(gradients) + EPSILON)
        torch._foreach_add_(parameters, torch._foreach_mul(gradients, scale))

    def _track(self, on: bool) -> None:
        for batch_norm in self.batch_norms:
            batch_norm.track_running_stats = on


def check_sharpness(cfg: CfgNode, place: Place) -> None:
    """Refuse TRAIN.OPTIMIZER.SAM_RHO where it cannot work, before any data is read.

    Raises:
        UserError: It cannot; the message gives the reason and what to do.
    """
    if not cfg.TRAIN.OPTIMIZER.SAM_RHO:
        return
    users = ", ".join(name for name in METHODS if METHODS.get(name).repeatable)
    reasons = {
        f"TRAIN.COMBINER.TYPE {cfg.TRAIN.COMBINER.TYPE} draws random numbers or changes its state in every step, "
        f"which cannot be computed twice; allowed: {users}": not method_entry(cfg).repeatable,
        "it does not support the gradient scaler of fp16; TRAIN.AMP must be bf16 or off": place.precision == "fp16",
        "it is untested with compiled experts; TRAIN.COMPILE must be False": cfg.TRAIN.COMPILE,
    }
    for reason, holds in reasons.items():
        if holds:
            raise UserError(f"TRAIN.OPTIMIZER.SAM_RHO is {cfg.TRAIN.OPTIMIZER.SAM_RHO}: {reason}; or set it to 0")


def check_repeatable(cfg: CfgNode, loss: Loss) -> None:
    """Refuse TRAIN.OPTIMIZER.SAM_RHO with a loss that cannot be computed twice for a batch.

    Raises:
        UserError: The loss draws random numbers.
    """
    if cfg.TRAIN.OPTIMIZER.SAM_RHO and not loss.repeatable:
        raise UserError(
            f"TRAIN.OPTIMIZER.SAM_RHO is {cfg.TRAIN.OPTIMIZER.SAM_RHO}: LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} draws "
            "random numbers, so it cannot be computed twice for a batch; set another loss, or SAM_RHO to 0"
        )
