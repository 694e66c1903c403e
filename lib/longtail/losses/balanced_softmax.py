"""Balanced softmax: the class prior inside the training softmax."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, deferred_start, in_float32, log_prior


class BalancedSoftmax(Loss):
    """Cross-entropy of z_c + log n_c (Ren et al., arXiv 2007.10740, eq. 4); inference uses the raw z.

    Args:
        class_counts: training images of each class, (C,).
        start_epoch: plain cross-entropy up to this epoch (deferred re-weighting); None: never plain.
    """

    prior: Tensor

    def __init__(self, class_counts: Sequence[int], start_epoch: int | None = None) -> None:
        super().__init__(start_epoch)
        self.register_buffer("prior", log_prior(class_counts), persistent=False)

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce"}; see `Loss.terms`."""
        logits = in_float32(logits)
        return {"ce": F.cross_entropy(logits + self.prior if self.deferral.on else logits, targets)}


@LOSSES.register("BalancedSoftmaxCE")
def build(cfg: CfgNode, class_counts: list[int]) -> BalancedSoftmax:
    """Build it from TRAIN.TWO_STAGE."""
    return BalancedSoftmax(class_counts, deferred_start(cfg))
