"""Base class of all losses: named terms whose sum is minimized."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.deferral import Deferral
from longtail.registry import Registry


class Prediction(NamedTuple):
    """What a loss compares with the labels.

    Attributes:
        logits: Raw network outputs: (B, C) for losses of one head, (E, V*B, C) for losses over all heads, rows ordered
            view by view.
        targets: Class ids, (B,) or (V*B,).
        features: Pooled features that the head has seen, (B, D); for losses that use them.
        teacher_logits: Outputs of a teacher network, shaped like `logits`; for distillation.
        row_weights: Factor of the loss of each row, (V*B,); for losses with `weighs_rows`.
    """

    logits: Tensor
    targets: Tensor
    features: Tensor | None = None
    teacher_logits: Tensor | None = None
    row_weights: Tensor | None = None


class Loss(nn.Module):
    """A loss as a sum of named terms.

    A subclass implements `terms`. All computation is in float32 or wider, whatever the dtype of the logits.

    Args:
        start_epoch: The last epoch in which `deferral` is off; None: it is always on.

    Attributes:
        nested: Whether the loss takes the logits of all heads at once, (E, V*B, C), instead of one head's, (B, C).
        needs_features: Whether it cannot be computed without `features`.
        needs_teacher: Whether it cannot be trained without `teacher_logits`.
        weighs_rows: Whether it uses `row_weights`.
        deferral: Says, in `deferral.on`, whether the re-weighting of the loss is active.
    """

    nested = False
    needs_features = False
    needs_teacher = False
    weighs_rows = False

    def __init__(self, start_epoch: int | None = None) -> None:
        super().__init__()
        self.deferral = Deferral(start_epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 1; deferred re-weighting switches here."""
        self.deferral.set_epoch(epoch)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return the terms of the loss by name, scalars that carry gradients."""
        raise NotImplementedError

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> Tensor:
        """Return the sum of the terms, a scalar; see `Prediction` for the arguments."""
        return total(self.terms(Prediction(logits, targets, features, teacher_logits)).values())


def total(terms: Iterable[Tensor]) -> Tensor:
    """Return the sum of scalars."""
    return torch.stack(list(terms)).sum()


def in_float32(logits: Tensor) -> Tensor:
    """Return the logits in float32 or wider: half precision cannot hold a softmax over many classes."""
    return logits if logits.dtype == torch.float64 else logits.float()


def mean_cross_entropy(logits: Tensor, targets: Tensor, row_weights: Tensor | None = None) -> Tensor:
    """Return mean_i(a_i l_i), l_i the softmax cross-entropy of row i.

    Args:
        logits: (B, C), float32 or wider.
        targets: Class ids, (B,).
        row_weights: Factors a_i, (B,); None: 1.
    """
    if row_weights is None:
        return F.cross_entropy(logits, targets)
    return (row_weights * F.cross_entropy(logits, targets, reduction="none")).mean()


def log_prior(class_counts: Sequence[int], prior: str = "counts") -> Tensor:
    """Return the logarithm of the class prior, (C,) float64.

    In a softmax over all classes both kinds are equivalent.

    Args:
        class_counts: Training images per class n_c, (C,).
        prior: "counts" for log n_c, as both releases add it; "frequencies" for log(n_c / N).
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    return (counts / counts.sum() if prior == "frequencies" else counts).log()


def is_target(targets: Tensor, num_classes: int) -> Tensor:
    """Return the one-hot mask of the targets (B,), (B, C) bool."""
    return targets[:, None] == torch.arange(num_classes, device=targets.device)


def deferred_start(cfg: CfgNode) -> int | None:
    """Return TRAIN.TWO_STAGE.START_EPOCH if re-weighting is deferred, else None."""
    return cfg.TRAIN.TWO_STAGE.START_EPOCH if cfg.TRAIN.TWO_STAGE.DRW else None


LossBuilder = Callable[[CfgNode, list[int]], Loss]
LOSSES: Registry[LossBuilder] = Registry("loss")


def build_loss(cfg: CfgNode, class_counts: Sequence[int]) -> Loss:
    """Build the loss named by LOSS.LOSS_TYPE.

    Args:
        cfg: Config.
        class_counts: Training images per class, (C,).

    Raises:
        UserError: The name is unknown, a class has no training images, or a parameter does not fit the classes.
    """
    counts = [int(count) for count in class_counts]
    empty = [label for label, count in enumerate(counts) if count < 1]
    if empty:
        shown = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
        raise UserError(f"{len(empty)} of {len(counts)} classes have no training images: {shown}")
    return LOSSES.get(cfg.LOSS.LOSS_TYPE)(cfg, counts)
