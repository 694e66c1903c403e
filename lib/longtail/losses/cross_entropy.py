"""Softmax cross-entropy."""

from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Loss, in_float32


class CrossEntropy(Loss):
    """Mean over the batch of -log softmax(z)_y."""

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce"}; see `Loss.terms`."""
        return {"ce": F.cross_entropy(in_float32(logits), targets)}


@LOSSES.register("CrossEntropy")
def build(cfg: CfgNode, class_counts: list[int]) -> CrossEntropy:
    """Build it; deferred re-weighting has no effect on it, as in the release."""
    return CrossEntropy()
