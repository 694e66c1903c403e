"""Cost-sensitive cross-entropy: weights from the inverse class frequency."""

from collections.abc import Sequence

from yacs.config import CfgNode

from longtail.losses.base import LOSSES, deferred_start
from longtail.losses.class_weights import inverse_frequency
from longtail.losses.cross_entropy import WeightedCrossEntropy


class CostSensitive(WeightedCrossEntropy):
    """Cross-entropy with w_c = (n_min / n_c)^gamma (Japkowicz and Stephen 2002; gamma as in arXiv 1805.00932).

    Args:
        class_counts: Training images per class, (C,).
        gamma: Strength of the weighting, see `inverse_frequency`.
        start_epoch: Unweighted up to this epoch (deferred re-weighting); None: always weighted.
    """

    def __init__(self, class_counts: Sequence[int], gamma: float = 1.0, *, start_epoch: int | None = None) -> None:
        super().__init__(inverse_frequency(class_counts, gamma), start_epoch)


@LOSSES.register("CostSensitiveCE")
def build(cfg: CfgNode, class_counts: list[int]) -> CostSensitive:
    """Build the loss from LOSS.CostSensitiveCE and TRAIN.TWO_STAGE."""
    return CostSensitive(class_counts, cfg.LOSS.CostSensitiveCE.GAMMA, start_epoch=deferred_start(cfg))
