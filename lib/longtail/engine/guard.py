"""The watch over losses and gradients: a step that is not finite never reaches the weights."""

from typing import NamedTuple

import torch
from torch import Tensor

from longtail.errors import UserError
from longtail.methods import Step


class NotFinite(UserError):
    """A loss or gradient was not finite; names the epoch, the batch, the loss parts and the samples."""


class _Seen(NamedTuple):
    epoch: int
    number: int
    finite: Tensor
    parts: dict[str, Tensor]
    indices: Tensor


class FiniteGuard:
    """Checks every step before the optimiser acts.

    On a CPU the check is immediate. On a GPU it would make the host wait in every step; there the verdict is handed to
    the fused optimiser, which leaves the weights alone from the first bad step on, and the host reads it now and then
    (`report`).

    Args:
        optimizer: a fused one where `immediate` is False.
        immediate: read each verdict at once.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, immediate: bool) -> None:
        self.optimizer = optimizer
        self.immediate = immediate
        self._bad: Tensor | None = None
        self._seen: list[_Seen] = []

    def check(self, epoch: int, number: int, step: Step, indices: Tensor, norm: Tensor | None) -> None:
        """Judge a step whose gradients are computed and not yet applied.

        Args:
            epoch: from 1.
            number: of the batch in the epoch, from 1.
            step: of the method.
            indices: positions of the samples in the data set, (B,).
            norm: of the gradients, a scalar; None leaves them unchecked.

        Raises:
            NotFinite: the step is bad, and verdicts are read at once.
        """
        self.note(epoch, number, self.judge(step, norm), step.parts, indices)

    def judge(self, step: Step, norm: Tensor | None) -> Tensor:
        """Return whether a step is finite, a scalar on its device, and tell the optimiser where nobody reads at once.

        Args:
            step: of the method.
            norm: of its gradients, a scalar; None leaves them unchecked.
        """
        finite = torch.isfinite(step.loss.detach())
        if norm is not None:
            finite = finite & torch.isfinite(norm)
        if not self.immediate:
            if self._bad is None:
                self._bad = torch.zeros_like(finite, dtype=torch.float32)
            torch.maximum(self._bad, (~finite).float(), out=self._bad)  # in its place: replayed steps know no other
            self.optimizer.found_inf = self._bad  # type: ignore[attr-defined]
            self.optimizer.grad_scale = None  # type: ignore[attr-defined]
        return finite

    def note(self, epoch: int, number: int, finite: Tensor, parts: dict[str, Tensor], indices: Tensor) -> None:
        """Remember a verdict, to be read now or later.

        Args:
            epoch, number, indices: see `check`.
            finite: of `judge`.
            parts: of the loss.

        Raises:
            NotFinite: the step is bad, and verdicts are read at once.
        """
        self._seen.append(_Seen(epoch, number, finite, parts, indices))
        if self.immediate:
            self.report()

    def report(self) -> None:
        """Read the verdicts since the last call.

        Raises:
            NotFinite: one of them was bad; no step since then has touched the weights.
        """
        seen, self._seen = self._seen, []
        if not seen or bool(torch.stack([one.finite for one in seen]).all()):
            return
        first = next(one for one in seen if not bool(one.finite))
        parts = ", ".join(f"{name} {float(value):.4g}" for name, value in first.parts.items())
        samples = " ".join(map(str, first.indices.tolist()))
        raise NotFinite(
            f"loss or gradient is not finite: epoch {first.epoch}, batch {first.number} ({parts}), samples {samples}; "
            "weights were not touched; a lower TRAIN.OPTIMIZER.BASE_LR or TRAIN.AMP off may help"
        )
