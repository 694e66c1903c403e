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
        class_counts: training images of each class, (C,).
        gamma: 1 makes the classes count equally, 0.5 is the "square root" in between, 0 is no weighting.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    return (counts.min() / counts) ** gamma


class CostSensitive(WeightedCrossEntropy):
    """Cross-entropy with w_c = (n_min / n_c)^gamma (Japkowicz and Stephen 2002; gamma as in arXiv 1805.00932).

    Args:
        class_counts: training images of each class, (C,).
        gamma: strength of the weighting, see `inverse_frequency`.
        start_epoch: unweighted up to this epoch (deferred re-weighting); None: always weighted.
    """

    def __init__(self, class_counts: Sequence[int], gamma: float = 1.0, start_epoch: int | None = None) -> None:
        super().__init__(inverse_frequency(class_counts, gamma), start_epoch)


@LOSSES.register("CostSensitiveCE")
def build(cfg: CfgNode, class_counts: list[int]) -> CostSensitive:
    """Build it from LOSS.CostSensitiveCE and TRAIN.TWO_STAGE."""
    return CostSensitive(class_counts, cfg.LOSS.CostSensitiveCE.GAMMA, deferred_start(cfg))
