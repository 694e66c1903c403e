"""Detection of losses and gradients that are not finite: such a step never changes the weights."""

from typing import NamedTuple

import torch
from torch import Tensor

from longtail.errors import UserError
from longtail.methods import Step


class NotFinite(UserError):
    """A loss or gradient is not finite; the message names the epoch, the batch, the loss parts and the samples."""


class Where(NamedTuple):
    """Position of a step in a run.

    Attributes:
        epoch: Epoch, from 1.
        number: Number of the batch in the epoch, from 1.
        indices: Indices of the samples in the data set, (B,).
    """

    epoch: int
    number: int
    indices: Tensor


class _Noted(NamedTuple):
    where: Where
    finite: Tensor
    parts: dict[str, Tensor]


class FiniteGuard:
    """Checks every step before the optimizer.

    On a CPU the check is immediate. On a GPU the host would have to wait in every step; instead, the result is passed
    to the fused optimizer, which does not change the weights from the first bad step on, and the host reads it from
    time to time (`report`). Other optimizers do not look at it: they refuse it or step anyway. So their steps, such as
    those of timm's optimizers and of fp16 (whose scaler makes the host wait in any case), are checked at once.

    Args:
        optimizer: Optimizer.
        immediate: Read each result at once, also for a fused optimizer.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, immediate: bool) -> None:
        self.optimizer = optimizer
        self.immediate = immediate or not _is_fused(optimizer)
        self._bad: Tensor | None = None
        self._noted: list[_Noted] = []

    def check(self, step: Step, norm: Tensor | None, *, where: Where | None) -> Tensor:
        """Check a step whose gradients are computed but not yet applied.

        Args:
            step: Result of the method.
            norm: Norm of the gradients, scalar; None: they are not checked.
            where: Position of the step; None: it is recorded for a CUDA graph, and noted when it is replayed.

        Returns:
            Whether the step is finite, a scalar on its device.

        Raises:
            NotFinite: It is not, and results are read at once.
        """
        finite = torch.isfinite(step.loss.detach())
        if norm is not None:
            finite = finite & torch.isfinite(norm)
        if not self.immediate:
            stop_on(self.optimizer, self._accumulated(finite))
        if where is not None:
            self.note(where, finite, parts=step.parts)
        return finite

    def _accumulated(self, finite: Tensor) -> Tensor:
        """Return 1.0 if this or an earlier step was bad; always the same tensor, as replayed steps need."""
        if self._bad is None:
            self._bad = torch.zeros_like(finite, dtype=torch.float32)
        return torch.maximum(self._bad, (~finite).float(), out=self._bad)

    def note(self, where: Where, finite: Tensor, *, parts: dict[str, Tensor]) -> None:
        """Store the result of a check, to be read now or later.

        Args:
            where: Position of the step.
            finite: Result of `check`.
            parts: Terms of the loss.

        Raises:
            NotFinite: The step is bad, and results are read at once.
        """
        self._noted.append(_Noted(where, finite, parts))
        if self.immediate:
            self.report()

    def report(self) -> None:
        """Read the results since the last call.

        Raises:
            NotFinite: A step was bad; neither it nor a later step has changed the weights.
        """
        noted, self._noted = self._noted, []
        if not noted or bool(torch.stack([entry.finite for entry in noted]).all()):
            return
        first = next(entry for entry in noted if not bool(entry.finite))
        parts = ", ".join(f"{name} {float(value):.4g}" for name, value in first.parts.items())
        samples = " ".join(map(str, first.where.indices.tolist()))
        raise NotFinite(
            f"loss or gradient is not finite: epoch {first.where.epoch}, batch {first.where.number} ({parts}), samples "
            f"{samples}; the weights were not changed; a lower TRAIN.OPTIMIZER.BASE_LR or TRAIN.AMP off may help"
        )


def _is_fused(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether an optimizer steps in one kernel per group, which reads what `stop_on` sets."""
    return all(group.get("fused") for group in optimizer.param_groups)


def stop_on(optimizer: torch.optim.Optimizer, bad: Tensor) -> None:
    """Make a fused optimizer skip its step if `bad` (scalar float32) is not 0, without a host sync.

    The attributes are those that torch's GradScaler sets for fused optimizers; a test fails if torch stops reading
    them.
    """
    optimizer.found_inf = bad  # type: ignore[attr-defined]
    optimizer.grad_scale = None  # type: ignore[attr-defined]
