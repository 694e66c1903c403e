"""Focal loss: well-classified samples have less weight."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, Prediction, deferred_start, is_target, weighted_mean
from longtail.losses.class_weights import inverse_frequency
from longtail.precision import in_float32


def focal(logits: Tensor, targets: Tensor, *, gamma: float) -> Tensor:
    """Return the focal loss of every sample, summed over the classes (arXiv 1708.02002, eq. 4), (B,).

    Each class is a binary problem: with s = -z at the target and s = z elsewhere, the probability of the wrong answer
    is sigmoid(s), and the loss is sigmoid(s)^gamma * -log sigmoid(-s). Computed from log sigmoid, which is finite where
    the sigmoid itself is 0 or 1.

    Args:
        logits: (B, C).
        targets: Class ids, (B,).
        gamma: Focusing exponent, at least 0.
    """
    wrong = torch.where(is_target(targets, logits.shape[1]), -logits, logits)
    return ((gamma * F.logsigmoid(wrong)).exp() * -F.logsigmoid(-wrong)).sum(1)


def soft_focal(logits: Tensor, targets: Tensor, *, gamma: float) -> Tensor:
    """Return sum_c t_c focal(z, c) of every sample, (B,), for soft targets t (B, C); see `focal`."""
    as_target, as_other = ((gamma * F.logsigmoid(wrong)).exp() * -F.logsigmoid(-wrong) for wrong in (-logits, logits))
    return (targets * (as_target - as_other)).sum(1) + targets.sum(1) * as_other.sum(1)


class Focal(Loss):
    """Mean over the batch of w_y times the focal loss (Lin et al., arXiv 1708.02002, eq. 5, one alpha per class).

    Args:
        gamma: Focusing exponent, at least 0.
        weights: Class weights, (C,); None: all 1.
        start_epoch: Unweighted up to this epoch (deferred re-weighting); None: always weighted.
    """

    weighs_rows = True
    takes_soft_targets = True

    def __init__(self, gamma: float, weights: Tensor | None = None, *, start_epoch: int | None = None) -> None:
        super().__init__()
        self.gamma = gamma
        self.takes_class_weights = weights is None
        if weights is not None:
            self.weigh_classes(weights, start_epoch)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"focal"}."""
        logits, targets, weights = in_float32(prediction.logits), prediction.targets, self.active_class_weights()
        if targets.is_floating_point():
            losses = soft_focal(logits, targets if weights is None else targets * weights, gamma=self.gamma)
        else:
            losses = focal(logits, targets, gamma=self.gamma)
            losses = losses if weights is None else weights[targets] * losses
        return {"focal": weighted_mean(losses, targets, row_weights=prediction.row_weights)}


def deferred_weights(class_counts: Sequence[int], start_epoch: int | None) -> Tensor | None:
    """Return n_min / n_c, (C,), if re-weighting is deferred, else None: plain focal loss has none, as released."""
    return None if start_epoch is None else inverse_frequency(class_counts)


@LOSSES.register("FocalLoss")
def build(cfg: CfgNode, class_counts: list[int]) -> Focal:
    """Build the loss from LOSS.FocalLoss and TRAIN.TWO_STAGE."""
    start = deferred_start(cfg)
    return Focal(cfg.LOSS.FocalLoss.GAMMA, deferred_weights(class_counts, start), start_epoch=start)
