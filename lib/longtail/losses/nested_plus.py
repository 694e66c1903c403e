"""NIL_NBOD_plus: NCL++, distillation between the experts and between the views of an image.

NCL++, Tan et al., Pattern Recognition 2024, arXiv 2306.16709. Letters: E experts, V views, B images, C classes, K hard
classes; rows are V*B samples, view by view. The cross-entropy is that of NCL (see `nested`), over all rows. Let p_i be
the prediction of member i of a group of n, a softmax over all classes of logits plus log n_c. The distillation of the
group is

    factor * 2 / (n (n - 1)) * sum over ordered pairs i != j of [KL(p_j || p_i) + S(p_j, p_i)].

It is taken twice: `inter`, between the experts on each sample (the paper's collaborative learning between networks);
and `intra`, between the V views of each image inside one expert (between augmented copies), summed over the experts.

S is distillation on the hard classes ("partial views"):

- `zero` (released): S(p_j, p_i) = sum over hard c of p_j (log p_j - log(p_i + 1e-9)), with probabilities of the softmax
  over all classes that are not normalized again, so that it is not a divergence and may be negative;
- `exclude`: both are normalized over the hard classes first, and S is a KL divergence.

The hard classes are those of expert 0, for the same rows (`inter`) or for the first view (`intra`); or, with
`per_expert`, those of the member that learns, p_i.

The release sums masked probabilities, whose exact zeros give NaN gradients on current PyTorch. Here the sum runs over
the hard classes only, from log-probabilities: the value is the same, and the gradient is finite.
"""

from collections.abc import Sequence

from torch import Tensor
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.base import LOSSES, Prediction
from longtail.losses.nested import (
    HardClassLoss,
    HardClassSettings,
    distillation,
    gather_hard,
    hard_log_softmax,
    own_distillation,
)
from longtail.precision import in_float32


class NestedPlusLoss(HardClassLoss):
    """Loss of NCL++: cross-entropy, and distillation between experts and between views.

    Args:
        class_counts: Training images per class, (C,).
        hard: Options of the hard classes; `mode` and `per_expert` as described in the module.
        views: Augmented copies of each image V.
        distillation_factor: Weight of both distillations.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        hard: HardClassSettings,
        *,
        views: int = 1,
        distillation_factor: float = 0.6,
    ) -> None:
        super().__init__(class_counts, hard)
        self.views = views
        self.distillation_factor = distillation_factor

    def group_distillation(self, log_probabilities: Tensor, hard: Tensor) -> Tensor:
        """Return the distillation inside each group of n members, summed over groups and averaged over samples.

        Args:
            log_probabilities: Over all classes, (n, samples, C).
            hard: Hard classes, common to all members (1, samples, K), or of each member (n, samples, K).
        """
        members = len(log_probabilities)
        partial = gather_hard(log_probabilities, hard[:, None])
        if self.hard.mode == "exclude":
            partial = partial.log_softmax(-1)
        hard_divergence = own_distillation(partial) if self.hard.per_expert else distillation(partial[0])
        factor = 2 * self.ramp_factor * self.distillation_factor / (members * (members - 1))
        return factor * (distillation(log_probabilities) + hard_divergence)

    def by_view(self, values: Tensor) -> Tensor:
        """Return (E, V*B, N) as (V, E*B, N): the views become the members of a group."""
        return values.unflatten(1, (self.views, -1)).transpose(0, 1).flatten(1, 2)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce", "hard_ce"}, "intra" if V > 1 and "inter" if E > 1; logits (E, V*B, C), rows view by view.

        Raises:
            ValueError: The number of rows is not a multiple of V.
        """
        experts, rows = prediction.logits.shape[:2]
        if rows % self.views:
            raise ValueError(f"{rows} rows of logits do not divide into {self.views} views")
        logits = in_float32(prediction.logits)
        adjusted = logits + self.prior
        full = adjusted.log_softmax(2)
        chosen = self.hard_classes(logits, prediction.targets)
        hard = hard_log_softmax(adjusted, chosen, mode=self.hard.mode)
        terms = self.cross_entropies(full, hard, targets=prediction.targets)
        if self.views > 1:
            by_view = self.by_view(chosen.expand(experts, -1, -1))
            if not self.hard.per_expert:
                by_view = by_view[:1]
            # The mean runs over the images of all experts; the release sums over the experts.
            terms["intra"] = experts * self.group_distillation(self.by_view(full), by_view)
        if experts > 1:
            terms["inter"] = self.group_distillation(full, chosen)
        return terms


@LOSSES.register("NIL_NBOD_plus")
def build(cfg: CfgNode, class_counts: list[int]) -> NestedPlusLoss:
    """Build the loss from LOSS.* and DATASET.INTRA_N; DIVERSITY_FACTOR_HCM has no effect, as released."""
    views = len(cfg.DATASET.VIEWS)
    if views != cfg.DATASET.INTRA_N:
        raise UserError(
            f"LOSS.LOSS_TYPE NIL_NBOD_plus: DATASET.INTRA_N is {cfg.DATASET.INTRA_N}, but DATASET.VIEWS has {views} "
            "views"
        )
    return NestedPlusLoss(
        class_counts,
        HardClassSettings.from_config(cfg),
        views=views,
        distillation_factor=cfg.LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR,
    )
