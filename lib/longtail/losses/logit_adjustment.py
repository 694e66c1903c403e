"""Logit adjustment: the class prior inside the training softmax, with adjustable strength."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, deferred_start, in_float32


class LogitAdjustment(Loss):
    """Cross-entropy of z_c + tau log(n_c / N) (Menon et al., arXiv 2007.07314, eq. 10); inference uses the raw z.

    At tau = 1 it is balanced softmax, at tau = 0 plain cross-entropy.

    Args:
        class_counts: training images of each class, (C,).
        tau: strength of the adjustment.
        start_epoch: plain cross-entropy up to this epoch (deferred re-weighting); None: never plain.
    """

    adjustment: Tensor

    def __init__(self, class_counts: Sequence[int], tau: float = 1.0, start_epoch: int | None = None) -> None:
        super().__init__(start_epoch)
        counts = torch.tensor(class_counts, dtype=torch.float64)
        self.register_buffer("adjustment", (tau * (counts / counts.sum()).log()).float(), persistent=False)

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce"}; see `Loss.terms`."""
        logits = in_float32(logits)
        return {"ce": F.cross_entropy(logits + self.adjustment if self.deferral.on else logits, targets)}


@LOSSES.register("LogitAdjustment")
def build(cfg: CfgNode, class_counts: list[int]) -> LogitAdjustment:
    """Build it from LOSS.LogitAdjustment and TRAIN.TWO_STAGE."""
    return LogitAdjustment(class_counts, cfg.LOSS.LogitAdjustment.TAU, deferred_start(cfg))
