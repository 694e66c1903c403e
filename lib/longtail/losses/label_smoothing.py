"""Label smoothing, uniform or stronger for large classes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.base import LOSSES, Loss, Prediction, weighted_mean
from longtail.precision import in_float32


class LabelSmoothing(Loss):
    """Cross-entropy to the target (1 - epsilon) t + epsilon / C (Szegedy et al., arXiv 1512.00567, section 7).

    The class weight of a sample's label applies to its whole loss; PyTorch's `label_smoothing` would apply the weights
    of all classes to the part that is spread.

    Args:
        epsilon: Fraction of the target that is spread over all classes.
    """

    weighs_rows = True
    takes_class_weights = True
    takes_soft_targets = True

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        logits, targets = in_float32(prediction.logits), prediction.targets
        rows, classes = prediction.row_weights, self.active_class_weights()
        if rows is None and classes is None and not targets.is_floating_point():
            return {"ce": F.cross_entropy(logits, targets, label_smoothing=self.epsilon)}
        spread = weighted_mean(-logits.log_softmax(1).mean(1), targets, row_weights=rows, class_weights=classes)
        return {"ce": (1 - self.epsilon) * self.cross_entropy(logits, prediction) + self.epsilon * spread}


def class_smoothing(class_counts: Sequence[int], *, head: float, tail: float, shape: str) -> Tensor:
    """Return epsilon of each class, (C,) float64: between `tail` and `head`, by class size.

    With u = (n_c - n_min) / (n_max - n_min): concave, tail + (head - tail) sin(pi u / 2); linear, tail + (head - tail)
    u; convex, head + (head - tail) sin(3 pi / 2 + pi u / 2) (arXiv 2104.00466). If all classes have the same size, u is
    0.

    Args:
        class_counts: Training images per class, (C,).
        head: Epsilon of the largest class.
        tail: Epsilon of the smallest class.
        shape: concave | linear | convex.

    Raises:
        UserError: The shape is unknown.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    u = (counts - counts.min()) / (counts.max() - counts.min()).clamp(min=1)
    curves = {
        "concave": (u * math.pi / 2).sin(),
        "linear": u,
        "convex": 1 - (u * math.pi / 2).cos(),
    }
    if shape not in curves:
        raise UserError(f"LOSS.CrossEntropyLabelAwareSmooth.SHAPE is {shape!r}; allowed: {', '.join(curves)}")
    return tail + (head - tail) * curves[shape]


class LabelAwareSmoothing(Loss):
    """Label smoothing with an epsilon per class (Zhong et al., MiSLAS, arXiv 2104.00466).

    As released, epsilon is spread over all C classes, the target included; the paper spreads it over the others.

    Args:
        class_counts: Training images per class, (C,).
        head: Epsilon of the largest class.
        tail: Epsilon of the smallest class.
        shape: Curve between them: concave | linear | convex.
    """

    weighs_rows = True
    takes_class_weights = True
    epsilon: Tensor

    def __init__(self, class_counts: Sequence[int], *, head: float, tail: float, shape: str = "concave") -> None:
        super().__init__()
        epsilon = class_smoothing(class_counts, head=head, tail=tail, shape=shape)
        self.register_buffer("epsilon", epsilon.float(), persistent=False)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        log_p = in_float32(prediction.logits).log_softmax(1)
        epsilon = self.epsilon[prediction.targets]
        own = log_p.gather(1, prediction.targets[:, None])[:, 0]
        losses = -((1 - epsilon) * own + epsilon * log_p.mean(1))
        return {
            "ce": weighted_mean(
                losses,
                prediction.targets,
                row_weights=prediction.row_weights,
                class_weights=self.active_class_weights(),
            )
        }


@LOSSES.register("CrossEntropyLabelSmooth")
def build(cfg: CfgNode, class_counts: list[int]) -> LabelSmoothing:
    """Build the loss. Deferred re-weighting has no effect on it, as released."""
    return LabelSmoothing(cfg.LOSS.CrossEntropyLabelSmooth.EPSILON)


@LOSSES.register("CrossEntropyLabelAwareSmooth")
def build_label_aware(cfg: CfgNode, class_counts: list[int]) -> LabelAwareSmoothing:
    """Build the loss. Deferred re-weighting has no effect on it, as released."""
    keys = cfg.LOSS.CrossEntropyLabelAwareSmooth
    return LabelAwareSmoothing(class_counts, head=keys.SMOOTH_HEAD, tail=keys.SMOOTH_TAIL, shape=keys.SHAPE)
