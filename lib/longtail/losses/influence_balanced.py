"""Influence-balanced loss: samples with a large influence on the decision boundary have less weight."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.base import LOSSES, Loss, Prediction, deferred_start, is_target, weighted_mean
from longtail.losses.class_weights import class_balanced_weights
from longtail.precision import in_float32

EPSILON = 1e-3  # added to the influence, as released: the factor is at most alpha / EPSILON


def influence(logits: Tensor, targets: Tensor, *, features: Tensor) -> Tensor:
    """Return |softmax(z) - t|_1 |h|_1 of each sample (Park et al., arXiv 2110.02444), (B,).

    Args:
        logits: z, (B, C).
        targets: Class ids, (B,); t is their one-hot form.
        features: Input of the classifier h, (B, D).
    """
    error = logits.softmax(1) - is_target(targets, logits.shape[1]).to(logits.dtype)
    return error.abs().sum(1) * features.abs().sum(1)


class InfluenceBalanced(Loss):
    """Mean over the batch of w_y alpha / (influence + 0.001) times the cross-entropy (Park et al., arXiv 2110.02444).

    w_c is proportional to 1 / n_c and sums to C. As released, gradients flow through the influence too.

    Args:
        class_counts: Training images per class n_c, (C,).
        alpha: Scale of the loss.
        start_epoch: Plain cross-entropy up to this epoch (deferred re-weighting); None: never plain.
    """

    needs_features = True
    weighs_rows = True
    weights: Tensor

    def __init__(self, class_counts: Sequence[int], alpha: float = 1000.0, *, start_epoch: int | None = None) -> None:
        super().__init__(start_epoch)
        self.alpha = alpha
        self.register_buffer("weights", class_balanced_weights(class_counts, beta=1).float(), persistent=False)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}.

        Raises:
            UserError: There are no features. Also raised in epochs that do not use them yet.
        """
        targets, features = prediction.targets, prediction.features
        if features is None:
            raise UserError(
                "LOSS.LOSS_TYPE InfluenceBalancedLoss needs the features of the images, which this "
                "TRAIN.COMBINER.TYPE does not provide; use supervised"
            )
        logits = in_float32(prediction.logits)
        losses = F.cross_entropy(logits, targets, reduction="none")
        if self.deferral.on:
            factor = self.alpha / (influence(logits, targets, features=in_float32(features)) + EPSILON)
            losses = self.weights[targets] * losses * factor
        return {"ce": weighted_mean(losses, targets, row_weights=prediction.row_weights)}


@LOSSES.register("InfluenceBalancedLoss")
def build(cfg: CfgNode, class_counts: list[int]) -> InfluenceBalanced:
    """Build the loss from LOSS.InfluenceBalancedLoss and TRAIN.TWO_STAGE."""
    return InfluenceBalanced(class_counts, cfg.LOSS.InfluenceBalancedLoss.ALPHA, start_epoch=deferred_start(cfg))
