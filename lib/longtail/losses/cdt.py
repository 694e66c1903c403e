"""Class-dependent temperatures."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, deferred_start, in_float32


class CDT(Loss):
    """Cross-entropy of z_c / a_c, a_c = (n_max / n_c)^gamma (Ye et al., arXiv 2001.01385).

    Inference uses the raw z.

    Args:
        class_counts: training images of each class, (C,).
        gamma: strength; 0 is plain cross-entropy.
        start_epoch: plain cross-entropy up to this epoch (deferred re-weighting); None: never plain.
    """

    temperature: Tensor

    def __init__(self, class_counts: Sequence[int], gamma: float, start_epoch: int | None = None) -> None:
        super().__init__(start_epoch)
        counts = torch.tensor(class_counts, dtype=torch.float64)
        self.register_buffer("temperature", ((counts.max() / counts) ** gamma).float(), persistent=False)

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce"}; see `Loss.terms`."""
        logits = in_float32(logits)
        return {"ce": F.cross_entropy(logits / self.temperature if self.deferral.on else logits, targets)}


@LOSSES.register("CDT")
def build(cfg: CfgNode, class_counts: list[int]) -> CDT:
    """Build it from LOSS.CDT and TRAIN.TWO_STAGE."""
    return CDT(class_counts, cfg.LOSS.CDT.GAMMA, deferred_start(cfg))
