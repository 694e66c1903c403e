"""Label smoothing, the same for all classes or stronger for large ones."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.base import LOSSES, Loss, in_float32


class LabelSmoothing(Loss):
    """Cross-entropy to the target (1 - epsilon) t + epsilon / C (Szegedy et al., arXiv 1512.00567, section 7).

    Args:
        epsilon: share of the target that goes to all classes alike.
    """

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce"}; see `Loss.terms`."""
        return {"ce": F.cross_entropy(in_float32(logits), targets, label_smoothing=self.epsilon)}


def smoothing_of_classes(class_counts: Sequence[int], head: float, tail: float, shape: str) -> Tensor:
    """Return epsilon of each class, (C,) float64: between `tail` and `head`, by its size.

    With u = (n_c - n_min) / (n_max - n_min): concave, tail + (head - tail) sin(pi u / 2); linear, tail + (head - tail)
    u; convex, head + (head - tail) sin(3 pi / 2 + pi u / 2) (arXiv 2104.00466). Classes of equal size
    leave u open; they count as small.

    Args:
        class_counts: training images of each class, (C,).
        head: epsilon of the largest class.
        tail: epsilon of the smallest class.
        shape: concave | linear | convex.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    u = (counts - counts.min()) / (counts.max() - counts.min()).clamp(min=1)
    rises = {
        "concave": (u * math.pi / 2).sin(),
        "linear": u,
        "convex": 1 - (u * math.pi / 2).cos(),
    }
    if shape not in rises:
        raise UserError(f"LOSS.CrossEntropyLabelAwareSmooth.SHAPE is {shape!r}; allowed: {', '.join(rises)}")
    return tail + (head - tail) * rises[shape]


class LabelAwareSmoothing(Loss):
    """Label smoothing with an epsilon for each class (Zhong et al., MiSLAS, arXiv 2104.00466).

    As released, epsilon is spread over all C classes, the target included; the paper spreads it over the others.

    Args:
        class_counts: training images of each class, (C,).
        head: epsilon of the largest class.
        tail: epsilon of the smallest class.
        shape: of the curve between them: concave | linear | convex.
    """

    epsilon: Tensor

    def __init__(self, class_counts: Sequence[int], head: float, tail: float, shape: str = "concave") -> None:
        super().__init__()
        epsilon = smoothing_of_classes(class_counts, head, tail, shape)
        self.register_buffer("epsilon", epsilon.float(), persistent=False)

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce"}; see `Loss.terms`."""
        log_p = in_float32(logits).log_softmax(1)
        epsilon = self.epsilon[targets]
        own = log_p.gather(1, targets[:, None])[:, 0]
        return {"ce": -((1 - epsilon) * own + epsilon * log_p.mean(1)).mean()}


@LOSSES.register("CrossEntropyLabelSmooth")
def build(cfg: CfgNode, class_counts: list[int]) -> LabelSmoothing:
    """Build it; deferred re-weighting has no effect on it, as in the release."""
    return LabelSmoothing(cfg.LOSS.CrossEntropyLabelSmooth.EPSILON)


@LOSSES.register("CrossEntropyLabelAwareSmooth")
def build_label_aware(cfg: CfgNode, class_counts: list[int]) -> LabelAwareSmoothing:
    """Build it; deferred re-weighting has no effect on it, as in the release."""
    keys = cfg.LOSS.CrossEntropyLabelAwareSmooth
    return LabelAwareSmoothing(class_counts, keys.SMOOTH_HEAD, keys.SMOOTH_TAIL, keys.SHAPE)
