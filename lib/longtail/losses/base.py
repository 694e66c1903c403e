"""What every loss is: named terms whose sum is minimised."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.deferral import Deferral
from longtail.registry import Registry


class Loss(nn.Module):
    """A loss as a sum of named terms.

    A subclass implements `terms`. Losses of one expert take logits (B, C); nested losses take (E, V*B, C), rows
    ordered view by view. All computation is in float32 or wider, whatever the logits' type.

    Args:
        start_epoch: the last epoch in which `deferral` is off; None: it is on from the beginning.

    Attributes:
        nested: whether the loss compares experts, and so takes the logits of all of them.
        needs_features: whether it cannot do without `features`.
        needs_teacher: whether it cannot be trained without `teacher_logits`.
        class_counts: training images of each class, (C,), as `build_loss` was told; for training methods that go by
            them too.
        deferral: tells, in `deferral.on`, whether what a loss does about the tail is in force.
    """

    nested = False
    needs_features = False
    needs_teacher = False
    class_counts: Sequence[int] = ()

    def __init__(self, start_epoch: int | None = None) -> None:
        super().__init__()
        self.deferral = Deferral(start_epoch)

    def set_epoch(self, epoch: int) -> None:
        """Tell the loss which epoch (counted from 1) is trained; deferred re-weighting switches here."""
        self.deferral.set_epoch(epoch)

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the terms of the loss by name, each a scalar that carries gradients.

        Args:
            logits: raw network outputs, (B, C) or (E, V*B, C).
            targets: class ids, (B,) or (V*B,).
            features: pooled features of the backbone, (B, D); for losses that use them.
            teacher_logits: outputs of a teacher network, (B, C); for distillation.
        """
        raise NotImplementedError

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> Tensor:
        """Return the sum of the terms."""
        return torch.stack(list(self.terms(logits, targets, features, teacher_logits).values())).sum()


def in_float32(logits: Tensor) -> Tensor:
    """Return the logits in float32 at least: half precision cannot hold a softmax over many classes."""
    return logits if logits.dtype == torch.float64 else logits.float()


def log_prior(class_counts: Sequence[int], of: str = "counts") -> Tensor:
    """Return log n_c for each class, (C,) float32: raw counts, as both releases add them.

    Args:
        class_counts: n_c, (C,).
        of: "counts", or "frequencies" for log(n_c / N). In a softmax over all classes both are the same.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    return (counts / counts.sum() if of == "frequencies" else counts).log().float()


def is_target(targets: Tensor, classes: int) -> Tensor:
    """Return where each row has its target, (B, C) of bool.

    Args:
        targets: class ids, (B,).
        classes: C.
    """
    return targets[:, None] == torch.arange(classes, device=targets.device)


def deferred_start(cfg: CfgNode) -> int | None:
    """Return TRAIN.TWO_STAGE.START_EPOCH where re-weighting is deferred, else None."""
    return cfg.TRAIN.TWO_STAGE.START_EPOCH if cfg.TRAIN.TWO_STAGE.DRW else None


LossBuilder = Callable[[CfgNode, list[int]], Loss]
LOSSES: Registry[LossBuilder] = Registry("loss")


def build_loss(cfg: CfgNode, class_counts: Sequence[int]) -> Loss:
    """Build the loss called LOSS.LOSS_TYPE.

    Args:
        cfg: the configuration tree.
        class_counts: training images of each class, (C,).

    Raises:
        UserError: there is no such loss, a class has no training images, or a parameter does not fit the classes.
    """
    counts = [int(count) for count in class_counts]
    empty = [label for label, count in enumerate(counts) if count < 1]
    if empty:
        shown = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
        raise UserError(f"{len(empty)} of {len(counts)} classes have no training images: {shown}")
    loss = LOSSES.get(cfg.LOSS.LOSS_TYPE)(cfg, counts)
    loss.class_counts = counts
    return loss
