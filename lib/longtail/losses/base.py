"""Base class of all losses: named terms whose sum is minimized."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.distributed.gathering import average
from longtail.errors import UserError
from longtail.losses.class_weights import configured_weights
from longtail.losses.deferral import Deferral
from longtail.registry import Registry


class Prediction(NamedTuple):
    """The input of a loss.

    Attributes:
        logits: Raw network outputs: (B, C) for losses of one head, (E, V*B, C) for losses over all heads, rows ordered
            view by view.
        targets: Class ids, (B,) or (V*B,); or soft targets, (B, C), for losses with `takes_soft_targets`.
        features: Pooled features, the input of the head, (B, D); for losses that use them.
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

    A subclass implements `terms`. All computation is in float32 or wider, independent of the dtype of the logits.

    Args:
        start_epoch: Last epoch in which `deferral` is off; None: it is always on.

    Attributes:
        nested: Whether the loss takes the logits of all heads at once, (E, V*B, C), instead of one head's, (B, C).
        needs_features: Whether it cannot be computed without `features`.
        needs_teacher: Whether it cannot be trained without `teacher_logits`.
        weighs_rows: Whether it uses `row_weights`.
        takes_class_weights: Whether `weigh_classes` may be called; not for losses that define class weights.
        takes_soft_targets: Whether targets may be probabilities of the classes t, (B, C), with the loss
            sum_c t_c L(z, c) of a sample.
        repeatable: Whether it has the same value for the same prediction: it draws no random numbers.
        deferral: `deferral.on` is whether the class-dependent part of the loss is active.
        class_weights: Weight of each class w_c, (C,); None: all 1.
    """

    nested = False
    needs_features = False
    needs_teacher = False
    weighs_rows = False
    takes_class_weights = False
    takes_soft_targets = False
    repeatable = True
    class_weights: Tensor | None

    def __init__(self, start_epoch: int | None = None) -> None:
        super().__init__()
        self.deferral = Deferral(start_epoch)
        self._weighting = Deferral()
        self.register_buffer("class_weights", None, persistent=False)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 1; deferred re-weighting switches here."""
        for switch in self._switches:
            switch.set_epoch(epoch)

    def weigh_classes(self, weights: Tensor, start_epoch: int | None = None) -> None:
        """Set class weights (C,), which are used after `start_epoch`; None: always."""
        self.class_weights = weights.float()
        self._weighting = Deferral(start_epoch)

    @property
    def defers(self) -> bool:
        """Whether a part of the loss, or of one that it contains, starts after some epochs."""
        switches = [switch for part in self.modules() if isinstance(part, Loss) for switch in part._switches]
        return any(switch.start_epoch is not None for switch in switches)

    @property
    def _switches(self) -> tuple[Deferral, Deferral]:
        return self.deferral, self._weighting

    def active_class_weights(self) -> Tensor | None:
        """Return the class weights that are used in this epoch, (C,)."""
        return self.class_weights if self._weighting.on else None

    def cross_entropy(self, logits: Tensor, prediction: Prediction) -> Tensor:
        """Return `mean_cross_entropy` of (adjusted) logits (B, C), with the weights of rows and classes."""
        return mean_cross_entropy(
            logits,
            prediction.targets,
            row_weights=prediction.row_weights,
            class_weights=self.active_class_weights(),
        )

    def check_targets(self, targets: Tensor) -> None:
        """Refuse soft targets in a loss that needs class ids.

        Raises:
            UserError: The targets are soft; the message names the loss, and losses that take them.
        """
        if targets.is_floating_point() and not self.takes_soft_targets:
            raise UserError(
                f"the loss {type(self).__name__} needs class ids (B,), not soft targets {list(targets.shape)}; losses "
                "that take them are CrossEntropy, BalancedSoftmaxCE, FocalLoss and others with takes_soft_targets"
            )

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
        """Return the sum of the terms, a scalar; see `Prediction` for the arguments.

        Raises:
            UserError: The targets are soft, but the loss needs class ids.
        """
        self.check_targets(targets)
        return total(self.terms(Prediction(logits, targets, features, teacher_logits)).values())


def total(terms: Iterable[Tensor]) -> Tensor:
    """Return the sum of scalars."""
    return torch.stack(list(terms)).sum()


def mean_cross_entropy(
    logits: Tensor, targets: Tensor, *, row_weights: Tensor | None = None, class_weights: Tensor | None = None
) -> Tensor:
    """Return sum_i a_i sum_c w_c t_ic (-log p_ic) / sum_ic w_c t_ic, p the softmax of the logits.

    For class ids, t is one-hot: sum_i a_i w_{y_i} l_i / sum_i w_{y_i}, l_i the cross-entropy of row i. With several
    processes the denominator is its mean over them, so that the mean of their losses is that of the whole batch.

    Args:
        logits: (B, C), float32 or wider.
        targets: Class ids (B,), or probabilities of the classes (B, C).
        row_weights: Factors a_i, (B,); None: 1.
        class_weights: w, (C,); None: 1.
    """
    if row_weights is None and class_weights is None:
        return F.cross_entropy(logits, _as(targets, logits))
    weights = None if class_weights is None else class_weights.to(logits.dtype)
    losses = F.cross_entropy(logits, _as(targets, logits), weights, reduction="none")
    losses = losses if row_weights is None else row_weights * losses
    if weights is None:
        return losses.mean()
    return losses.sum() / average(weights_of(targets, weights).sum())


def weighted_mean(
    losses: Tensor, targets: Tensor, *, row_weights: Tensor | None = None, class_weights: Tensor | None = None
) -> Tensor:
    """Return sum_i a_i w_i l_i / sum_i w_i, w_i the weight of the class of row i; see `mean_cross_entropy`.

    Args:
        losses: l_i, (B,).
        targets: Class ids (B,), or probabilities of the classes (B, C).
        row_weights: Factors a_i, (B,); None: 1.
        class_weights: (C,); None: 1.
    """
    losses = losses if row_weights is None else row_weights * losses
    if class_weights is None:
        return losses.mean()
    weights = weights_of(targets, class_weights.to(losses.dtype))
    return (weights * losses).sum() / average(weights.sum())


def weights_of(targets: Tensor, class_weights: Tensor) -> Tensor:
    """Return the class weight of each row, (B,): that of its class, or the mean under its soft target."""
    return _as(targets, class_weights) @ class_weights if targets.is_floating_point() else class_weights[targets]


def _as(targets: Tensor, other: Tensor) -> Tensor:
    """Return soft targets in the dtype of another tensor, and class ids unchanged."""
    return targets.to(other.dtype) if targets.is_floating_point() else targets


def log_prior(class_counts: Sequence[int], prior: str = "counts") -> Tensor:
    """Return the logarithm of the class prior, (C,) float64.

    Both kinds are equivalent in a softmax over all classes.

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


def build_loss(cfg: CfgNode, class_counts: Sequence[int], class_names: Sequence[str] = ()) -> Loss:
    """Build the loss named by LOSS.LOSS_TYPE, with the class weights of LOSS.CLASS_WEIGHTS.

    Args:
        cfg: Config.
        class_counts: Training images per class, (C,).
        class_names: Names of the classes, (C,), for class weights by name; empty: their numbers.

    Raises:
        UserError: The name is unknown, a class has no training images, a parameter does not fit the classes, or the
            loss does not take class weights.
    """
    counts = [int(count) for count in class_counts]
    empty = [label for label, count in enumerate(counts) if count < 1]
    if empty:
        shown = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
        raise UserError(f"{len(empty)} of {len(counts)} classes have no training images: {shown}")
    loss = LOSSES.get(cfg.LOSS.LOSS_TYPE)(cfg, counts)
    weights = configured_weights(cfg, counts, class_names)
    if weights is not None:
        if not loss.takes_class_weights:
            raise UserError(
                f"LOSS.CLASS_WEIGHTS is set, but LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} does not take class weights; use "
                "a cross-entropy such as CrossEntropy or BalancedSoftmaxCE"
            )
        loss.weigh_classes(weights, deferred_start(cfg))
    return loss
