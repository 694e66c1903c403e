"""Softmax equalization loss: samples of large classes do not suppress the logits of small classes."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, Prediction, is_target
from longtail.precision import in_float32

logger = logging.getLogger(__name__)


class SoftmaxEqualization(Loss):
    """-log(e^{z_y} / sum_k w_k e^{z_k}) with w_k 0 or 1 (Tan et al., arXiv 2003.05176).

    w_k = 1 - b_k T_k (1 - [k = y]): T_k = 1 if class k has less than `tail_fraction` of the training images, and b_k is
    Bernoulli(gamma), drawn for each sample and class. Classes with w_k = 0 are masked before the softmax. The random
    numbers come from torch's generator on the device of the logits.

    Args:
        class_counts: Training images per class, (C,).
        gamma: Probability that a small class is masked.
        tail_fraction: Fraction of the training images below which a class is small.
    """

    weighs_rows = True
    takes_class_weights = True
    repeatable = False
    tail: Tensor

    def __init__(self, class_counts: Sequence[int], gamma: float, *, tail_fraction: float) -> None:
        super().__init__()
        self.gamma = gamma
        counts = torch.tensor(class_counts, dtype=torch.float64)
        self.register_buffer("tail", counts / counts.sum() < tail_fraction, persistent=False)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        logits, targets = in_float32(prediction.logits), prediction.targets
        drawn = torch.rand_like(logits) < self.gamma
        masked = drawn & self.tail & ~is_target(targets, logits.shape[1])
        return {"ce": self.cross_entropy(logits.masked_fill(masked, -torch.inf), prediction)}


@LOSSES.register("SEQL")
def build(cfg: CfgNode, class_counts: list[int]) -> SoftmaxEqualization:
    """Build the loss from LOSS.SEQL; warn if no class is small. Deferred re-weighting does nothing, as released."""
    keys, smallest = cfg.LOSS.SEQL, min(class_counts) / sum(class_counts)
    loss = SoftmaxEqualization(class_counts, keys.GAMMA, tail_fraction=keys.LAMBDA)
    if not loss.tail.any():
        logger.warning(
            "LOSS.SEQL.LAMBDA is %g, but the smallest class has %.2g of the training images: SEQL is plain "
            "cross-entropy; a larger value makes classes small",
            keys.LAMBDA,
            smallest,
        )
    return loss
