"""Softmax cross-entropy, plain or with class weights."""

from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, Prediction, in_float32, mean_cross_entropy


class CrossEntropy(Loss):
    """Mean over the batch of -log softmax(z)_y."""

    weighs_rows = True

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        logits = in_float32(prediction.logits)
        return {"ce": mean_cross_entropy(logits, prediction.targets, prediction.row_weights)}


class WeightedCrossEntropy(Loss):
    """Weighted mean of the cross-entropy, sum_i w_{y_i} l_i / sum_i w_{y_i}.

    A common factor of the weights has no effect.

    Args:
        weights: Class weights, (C,).
        start_epoch: Unweighted up to this epoch (deferred re-weighting); None: always weighted.
    """

    weights: Tensor

    def __init__(self, weights: Tensor, start_epoch: int | None = None) -> None:
        super().__init__(start_epoch)
        self.register_buffer("weights", weights.float(), persistent=False)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        logits = in_float32(prediction.logits)
        weights = self.weights.to(logits.dtype) if self.deferral.on else None
        return {"ce": F.cross_entropy(logits, prediction.targets, weights)}


@LOSSES.register("CrossEntropy")
def build(cfg: CfgNode, class_counts: list[int]) -> CrossEntropy:
    """Build it. Deferred re-weighting has no effect on it, as released."""
    return CrossEntropy()
