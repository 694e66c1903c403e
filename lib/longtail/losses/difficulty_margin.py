"""DBM: balanced softmax of cosines with a margin by class size and by difficulty."""

from collections.abc import Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.base import LOSSES, Loss, Prediction, deferred_start, log_prior
from longtail.precision import in_float32

CLAMP = 1 - 1e-6  # the derivative of the arc cosine is infinite at 1


def class_margins(class_counts: Sequence[int], largest: float, power: float) -> Tensor:
    """Return the margin of each class in radians, K (n_c / n_min)^(-tau), (C,) float64.

    The release uses the last class in place of the smallest, which is the same for its sorted classes.

    Args:
        class_counts: Training images per class n_c, (C,).
        largest: K, the margin of the smallest class.
        power: tau.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    return largest * (counts / counts.min()) ** -power


def with_margin(cosines: Tensor, targets: Tensor, margins: Tensor) -> Tensor:
    """Return the cosines (B, C) with the target's angle increased by its margins (eq. 6 to 8).

    The class margin m_C(y) is added for every sample, m_C(y) (1 - cos theta_y) / 2 for misclassified ones. Gradients
    flow through both, as released.

    Args:
        cosines: (B, C).
        targets: Class ids, (B,).
        margins: m_C, (C,).
    """
    rows = targets[:, None]
    target = cosines.gather(1, rows).clamp(-CLAMP, CLAMP)
    margin = margins.to(cosines.dtype)[rows]
    wrong = cosines.argmax(1, keepdim=True) != rows
    margin = margin + margin * (1 - target) / 2 * wrong
    return cosines.scatter(1, rows, (target.arccos() + margin).cos())


class DifficultyMargin(Loss):
    """Cross-entropy of s cos(theta_c + m [c = y]) + log n_c, with the difficulty-aware margins of DBM (AAAI 2025).

    Inference uses the raw s cos(theta_c).

    Args:
        class_counts: Training images per class, (C,).
        scale: s of the logits.
        largest: K, class margin of the smallest class in radians.
        power: tau of the class margins.
        start_epoch: Plain cross-entropy up to this epoch (deferred re-weighting); None: never plain.
    """

    weighs_rows = True
    takes_class_weights = True
    margins: Tensor
    adjustment: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        scale: float,
        *,
        largest: float = 0.1,
        power: float = 1.0,
        start_epoch: int | None = None,
    ) -> None:
        super().__init__(start_epoch)
        self.scale = scale
        self.register_buffer("margins", class_margins(class_counts, largest, power).float(), persistent=False)
        self.register_buffer("adjustment", log_prior(class_counts).float(), persistent=False)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce"}."""
        if not self.deferral.on:
            return {"ce": self.cross_entropy(in_float32(prediction.logits), prediction)}
        cosines = in_float32(prediction.logits) / self.scale
        logits = self.scale * with_margin(cosines, prediction.targets, self.margins)
        return {"ce": self.cross_entropy(logits + self.adjustment, prediction)}


def cosine_scale(cfg: CfgNode, key: str) -> float:
    """Return the scale of a cosine head without bias, as margins on angles need it.

    Raises:
        UserError: The config has another head.
    """
    if cfg.CLASSIFIER.TYPE != "cos" or cfg.CLASSIFIER.BIAS:
        raise UserError(
            f"{key} needs angles: set CLASSIFIER.TYPE cos CLASSIFIER.BIAS False, not {cfg.CLASSIFIER.TYPE}"
            f"{' with a bias' if cfg.CLASSIFIER.BIAS else ''}"
        )
    return float(cfg.CLASSIFIER.COS_SCALE)


@LOSSES.register("DifficultyMargin")
def build(cfg: CfgNode, class_counts: list[int]) -> DifficultyMargin:
    """Build the loss from LOSS.DifficultyMargin, the scale of the cosine head and TRAIN.TWO_STAGE."""
    keys = cfg.LOSS.DifficultyMargin
    scale = cosine_scale(cfg, "LOSS.LOSS_TYPE DifficultyMargin")
    return DifficultyMargin(class_counts, scale, largest=keys.K, power=keys.TAU, start_epoch=deferred_start(cfg))
