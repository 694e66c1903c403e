"""LDAM: a margin per class, larger for smaller classes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, Prediction, deferred_start, is_target
from longtail.losses.class_weights import class_balanced_weights
from longtail.precision import in_float32

BETA = 0.9999  # of the class-balanced weights of deferred re-weighting, as released


def margins(class_counts: Sequence[int], largest: float) -> Tensor:
    """Return the margin of each class, proportional to n_c^(-1/4) (arXiv 1906.07413), (C,) float64.

    Args:
        class_counts: Training images per class n_c, (C,).
        largest: Margin of the smallest class.
    """
    raw = torch.tensor(class_counts, dtype=torch.float64) ** -0.25
    return raw * largest / raw.max()


class LDAM(Loss):
    """Cross-entropy of s (z_c - m_c [c = y]) (Cao et al., arXiv 1906.07413).

    z are cosines, as those of the heads FCNorm and NormedLinear.

    Args:
        class_counts: Training images per class, (C,).
        scale: s.
        max_margin: Margin of the smallest class.
        start_epoch: First epoch with class-balanced weights (deferred re-weighting; one epoch earlier than in the other
            losses, as released); None: never weighted.
    """

    weighs_rows = True
    margin: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        scale: float = 30.0,
        *,
        max_margin: float = 0.5,
        start_epoch: int | None = None,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("margin", margins(class_counts, max_margin).float(), persistent=False)
        self.takes_class_weights = start_epoch is None
        if start_epoch is not None:
            self.weigh_classes(class_balanced_weights(class_counts, BETA), start_epoch - 1)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        logits, targets = in_float32(prediction.logits), prediction.targets
        scaled = self.scale * (logits - self.margin * is_target(targets, logits.shape[1]))
        return {"ce": self.cross_entropy(scaled, prediction)}


@LOSSES.register("LDAMLoss")
def build(cfg: CfgNode, class_counts: list[int]) -> LDAM:
    """Build the loss from LOSS.LDAMLoss and TRAIN.TWO_STAGE."""
    keys = cfg.LOSS.LDAMLoss
    return LDAM(class_counts, keys.SCALE, max_margin=keys.MAX_MARGIN, start_epoch=deferred_start(cfg))
