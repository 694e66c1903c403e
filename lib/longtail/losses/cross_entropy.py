"""Softmax cross-entropy, plain and with a weight for each class."""

from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, in_float32


class CrossEntropy(Loss):
    """Mean over the batch of -log softmax(z)_y."""

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce"}; see `Loss.terms`."""
        return {"ce": F.cross_entropy(in_float32(logits), targets)}


class WeightedCrossEntropy(Loss):
    """sum_i w_{y_i} l_i / sum_i w_{y_i}, l_i the cross-entropy of sample i: a common factor of the weights is void.

    Args:
        weights: of each class, (C,).
        start_epoch: unweighted up to this epoch (deferred re-weighting); None: always weighted.
    """

    weights: Tensor

    def __init__(self, weights: Tensor, start_epoch: int | None = None) -> None:
        super().__init__(start_epoch)
        self.register_buffer("weights", weights.float(), persistent=False)

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce"}; see `Loss.terms`."""
        logits = in_float32(logits)
        weights = self.weights.to(logits.dtype) if self.deferral.on else None
        return {"ce": F.cross_entropy(logits, targets, weights)}


@LOSSES.register("CrossEntropy")
def build(cfg: CfgNode, class_counts: list[int]) -> CrossEntropy:
    """Build it; deferred re-weighting has no effect on it, as in the release."""
    return CrossEntropy()
