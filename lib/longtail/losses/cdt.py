"""Class-dependent temperatures."""

from collections.abc import Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, Prediction, deferred_start
from longtail.precision import in_float32


class CDT(Loss):
    """Cross-entropy of z_c / a_c, a_c = (n_max / n_c)^gamma (Ye et al., arXiv 2001.01385); inference uses the raw z.

    Args:
        class_counts: Training images per class n_c, (C,).
        gamma: Strength; 0 is plain cross-entropy.
        start_epoch: Plain cross-entropy up to this epoch (deferred re-weighting); None: never plain.
    """

    weighs_rows = True
    takes_class_weights = True
    takes_soft_targets = True
    temperature: Tensor

    def __init__(self, class_counts: Sequence[int], gamma: float, *, start_epoch: int | None = None) -> None:
        super().__init__(start_epoch)
        counts = torch.tensor(class_counts, dtype=torch.float64)
        self.register_buffer("temperature", ((counts.max() / counts) ** gamma).float(), persistent=False)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        logits = in_float32(prediction.logits)
        logits = logits / self.temperature if self.deferral.on else logits
        return {"ce": self.cross_entropy(logits, prediction)}


@LOSSES.register("CDT")
def build(cfg: CfgNode, class_counts: list[int]) -> CDT:
    """Build the loss from LOSS.CDT and TRAIN.TWO_STAGE."""
    return CDT(class_counts, cfg.LOSS.CDT.GAMMA, start_epoch=deferred_start(cfg))
