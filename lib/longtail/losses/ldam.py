"""LDAM: a margin for each class, larger where there are fewer images."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, deferred_start, in_float32, is_target
from longtail.losses.class_balanced import class_balanced_weights

BETA = 0.9999  # of the class-balanced weights of deferred re-weighting, as released


def margins(class_counts: Sequence[int], largest: float) -> Tensor:
    """Return the margin of each class, proportional to n_c^(-1/4) (arXiv 1906.07413), (C,) float64.

    Args:
        class_counts: training images of each class, (C,).
        largest: margin of the smallest class.
    """
    raw = torch.tensor(class_counts, dtype=torch.float64) ** -0.25
    return raw * largest / raw.max()


class LDAM(Loss):
    """Cross-entropy of s (z_c - m_c [c = y]) (Cao et al., arXiv 1906.07413), z cosines (the FCNorm head).

    Args:
        class_counts: training images of each class, (C,).
        scale: s.
        max_margin: margin of the smallest class.
        start_epoch: class-balanced weights join from this epoch on (deferred re-weighting: one epoch earlier than in
            the other losses, as released); None: never weighted.
    """

    margin: Tensor
    weights: Tensor | None

    def __init__(
        self,
        class_counts: Sequence[int],
        scale: float = 30.0,
        max_margin: float = 0.5,
        start_epoch: int | None = None,
    ) -> None:
        super().__init__(None if start_epoch is None else start_epoch - 1)
        self.scale = scale
        self.register_buffer("margin", margins(class_counts, max_margin).float(), persistent=False)
        weights = None if start_epoch is None else class_balanced_weights(class_counts, BETA).float()
        self.register_buffer("weights", weights, persistent=False)

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce"}; see `Loss.terms`."""
        logits = in_float32(logits)
        scaled = self.scale * (logits - self.margin * is_target(targets, logits.shape[1]))
        weights = self.weights if self.deferral.on else None
        weights = None if weights is None else weights.to(logits.dtype)
        return {"ce": F.cross_entropy(scaled, targets, weights)}


@LOSSES.register("LDAMLoss")
def build(cfg: CfgNode, class_counts: list[int]) -> LDAM:
    """Build it from LOSS.LDAMLoss and TRAIN.TWO_STAGE."""
    return LDAM(class_counts, cfg.LOSS.LDAMLoss.SCALE, cfg.LOSS.LDAMLoss.MAX_MARGIN, deferred_start(cfg))
