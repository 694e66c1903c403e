"""Class-balanced losses: weights from the effective number of samples."""

from collections.abc import Sequence

from yacs.config import CfgNode

from longtail.losses.base import LOSSES, deferred_start
from longtail.losses.class_weights import class_balanced_weights
from longtail.losses.cross_entropy import WeightedCrossEntropy
from longtail.losses.focal import Focal


class ClassBalanced(WeightedCrossEntropy):
    """Cross-entropy weighted by the effective number of samples (Cui et al., arXiv 1901.05555, section 4.1).

    Args:
        class_counts: Training images per class, (C,).
        beta: See `class_balanced_weights`.
        start_epoch: Unweighted up to this epoch (deferred re-weighting); None: always weighted.
    """

    def __init__(self, class_counts: Sequence[int], beta: float, *, start_epoch: int | None = None) -> None:
        super().__init__(class_balanced_weights(class_counts, beta), start_epoch)


class ClassBalancedFocal(Focal):
    """Focal loss weighted by the effective number of samples (Cui et al., arXiv 1901.05555, section 4.3).

    Args:
        class_counts: Training images per class, (C,).
        beta: See `class_balanced_weights`.
        gamma: Focusing exponent, at least 0.
        start_epoch: Unweighted up to this epoch (deferred re-weighting); None: always weighted.
    """

    def __init__(
        self, class_counts: Sequence[int], beta: float, *, gamma: float, start_epoch: int | None = None
    ) -> None:
        super().__init__(gamma, class_balanced_weights(class_counts, beta), start_epoch=start_epoch)


@LOSSES.register("ClassBalanceCE")
def build(cfg: CfgNode, class_counts: list[int]) -> ClassBalanced:
    """Build the loss from LOSS.ClassBalanceCE and TRAIN.TWO_STAGE."""
    return ClassBalanced(class_counts, cfg.LOSS.ClassBalanceCE.BETA, start_epoch=deferred_start(cfg))


@LOSSES.register("ClassBalanceFocal")
def build_focal(cfg: CfgNode, class_counts: list[int]) -> ClassBalancedFocal:
    """Build the loss from LOSS.ClassBalanceFocal and TRAIN.TWO_STAGE."""
    keys = cfg.LOSS.ClassBalanceFocal
    return ClassBalancedFocal(class_counts, keys.BETA, gamma=keys.GAMMA, start_epoch=deferred_start(cfg))
