"""NIL_NBOD_margin: the loss of NCL on cosines with the margins of DBM."""

from collections.abc import Sequence

from torch import Tensor
from yacs.config import CfgNode

from longtail.losses.base import LOSSES, Prediction
from longtail.losses.difficulty_margin import class_margins, cosine_scale, with_margin
from longtail.losses.nested import HardClassSettings, NestedLoss
from longtail.precision import in_float32


class NestedMarginLoss(NestedLoss):
    """Loss of NCL (arXiv 2203.15359) of s cos(theta_c + m [c = y]), with the difficulty-aware margins m of DBM.

    DBM, AAAI 2025, eq. 6 to 8: m is computed for each expert from its own cosines, before log n_c is added. All four
    terms of NCL, including the distillation, use the logits with the margin. The hard classes are those of the raw
    logits: only the logit of a sample's own class has a margin, and this class is always hard. Inference uses the raw
    s cos(theta_c).

    Args:
        class_counts: Training images per class, (C,).
        hard: Options of the hard classes.
        scale: s of the logits.
        largest: K, class margin of the smallest class in radians.
        power: tau of the class margins.
        distillation_factor: Weight of the distillation over all classes.
        hard_distillation_factor: Weight of the distillation over the hard classes.
    """

    margins: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        hard: HardClassSettings,
        *,
        scale: float,
        largest: float = 0.1,
        power: float = 1.0,
        distillation_factor: float = 0.6,
        hard_distillation_factor: float = 0.6,
    ) -> None:
        super().__init__(
            class_counts,
            hard,
            distillation_factor=distillation_factor,
            hard_distillation_factor=hard_distillation_factor,
        )
        self.scale = scale
        self.register_buffer("margins", class_margins(class_counts, largest, power).float(), persistent=False)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return the terms of `NestedLoss`; logits (E, B, C)."""
        cosines = in_float32(prediction.logits) / self.scale
        targets = prediction.targets.repeat(len(cosines))
        logits = self.scale * with_margin(cosines.flatten(0, 1), targets, self.margins).view_as(cosines)
        return super().terms(prediction._replace(logits=logits))


@LOSSES.register("NIL_NBOD_margin")
def build(cfg: CfgNode, class_counts: list[int]) -> NestedMarginLoss:
    """Build the loss from LOSS.*, LOSS.DifficultyMargin and the scale of the cosine heads."""
    keys, margin = cfg.LOSS.MULTI_CLASIIFIER_LOSS, cfg.LOSS.DifficultyMargin
    return NestedMarginLoss(
        class_counts,
        HardClassSettings.from_config(cfg),
        scale=cosine_scale(cfg, "LOSS.LOSS_TYPE NIL_NBOD_margin"),
        largest=margin.K,
        power=margin.TAU,
        distillation_factor=keys.DIVERSITY_FACTOR,
        hard_distillation_factor=keys.DIVERSITY_FACTOR_HCM,
    )
