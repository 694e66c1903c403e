"""LDAM: a margin per class, larger for smaller classes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, Prediction, deferred_start, in_float32, is_target
from longtail.losses.class_balanced import class_balanced_weights

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
    """Cross-entropy of s (z_c - m_c [c = y]) (Cao et al., arXiv 1906.07413); z are cosines (the FCNorm head).

    Args:
        class_counts: Training images per class, (C,).
        scale: s.
        max_margin: Margin of the smallest class.
        start_epoch: First epoch with class-balanced weights (deferred re-weighting; one epoch earlier than in the other
            losses, as released); None: never weighted.
    """

    margin: Tensor
    weights: Tensor | None

    def __init__(
        self,
        class_counts: Sequence[int],
        scale: float = 30.0,
        *,
        max_margin: float = 0.5,
        start_epoch: int | None = None,
    ) -> None:
        super().__init__(None if start_epoch is None else start_epoch - 1)
        self.scale = scale
        self.register_buffer("margin", margins(class_counts, max_margin).float(), persistent=False)
        weights = None if start_epoch is None else class_balanced_weights(class_counts, BETA).float()
        self.register_buffer("weights", weights, persistent=False)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        logits, targets = in_float32(prediction.logits), prediction.targets
        scaled = self.scale * (logits - self.margin * is_target(targets, logits.shape[1]))
        weights = self.weights if self.deferral.on else None
        return {"ce": F.cross_entropy(scaled, targets, None if weights is None else weights.to(logits.dtype))}


@LOSSES.register("LDAMLoss")
def build(cfg: CfgNode, class_counts: list[int]) -> LDAM:
    """Build it from LOSS.LDAMLoss and TRAIN.TWO_STAGE."""
    keys = cfg.LOSS.LDAMLoss
    return LDAM(class_counts, keys.SCALE, max_margin=keys.MAX_MARGIN, start_epoch=deferred_start(cfg))
