"""Softmax cross-entropy, plain or with class weights."""

from torch import Tensor
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, Prediction
from longtail.precision import in_float32


class CrossEntropy(Loss):
    """Mean over the batch of -log softmax(z)_y."""

    weighs_rows = True
    takes_class_weights = True
    takes_soft_targets = True

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        return {"ce": self.cross_entropy(in_float32(prediction.logits), prediction)}


class WeightedCrossEntropy(CrossEntropy):
    """Weighted mean of the cross-entropy, sum_i w_{y_i} l_i / sum_i w_{y_i}.

    A common factor of the weights has no effect.

    Args:
        weights: Class weights, (C,).
        start_epoch: Unweighted up to this epoch (deferred re-weighting); None: always weighted.
    """

    takes_class_weights = False

    def __init__(self, weights: Tensor, start_epoch: int | None = None) -> None:
        super().__init__()
        self.weigh_classes(weights, start_epoch)


@LOSSES.register("CrossEntropy")
def build(cfg: CfgNode, class_counts: list[int]) -> CrossEntropy:
    """Build the loss. Deferred re-weighting has no effect on it, as released."""
    return CrossEntropy()
