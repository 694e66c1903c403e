"""Cost-sensitive cross-entropy: weights from the inverse class frequency."""

from collections.abc import Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, deferred_start
from longtail.losses.cross_entropy import WeightedCrossEntropy


def inverse_frequency(class_counts: Sequence[int], gamma: float = 1.0) -> Tensor:
    """Return (n_min / n_c)^gamma for each class, (C,) float64.

    Args:
        class_counts: Training images per class n_c, (C,).
        gamma: 1 balances the classes, 0.5 is the "square root" variant, 0 is no weighting.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    return (counts.min() / counts) ** gamma


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
    """Build it from LOSS.CostSensitiveCE and TRAIN.TWO_STAGE."""
    return CostSensitive(class_counts, cfg.LOSS.CostSensitiveCE.GAMMA, start_epoch=deferred_start(cfg))
