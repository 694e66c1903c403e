"""NIL_NBOD_plus: NCL++, distillation between the experts and between the views of an image.

NCL++, Tan et al., Pattern Recognition 2024, arXiv 2306.16709. Letters: E experts, V views, B images, C classes, K hard
classes; rows are V*B samples, view by view. Cross-entropy is that of NCL (see `nested`), over all rows. Let p_i be what
member i of a group of n says, a softmax over all classes of logits plus log n_c. The group's distillation is

    factor * 2 / (n (n - 1)) * sum over ordered pairs i != j of [KL(p_j || p_i) + S(p_j, p_i)].

It is taken twice: `inter`, the experts on each sample (the paper's collaborative learning between networks); and
`intra`, the V views of each image inside one expert (between its augmented copies), summed over the experts.

S is distillation on the hard classes ("partial views"):

- `zero` (released): S(p_j, p_i) = sum over hard c of p_j (log p_j - log(p_i + 1e-9)), probabilities of the softmax over
  all classes, not normalised again, so that it is no divergence and may be negative;
- `exclude`: both are normalised over the hard classes first, S is a KL divergence.

The hard classes are expert 0's, for the rows at hand (`inter`) or for the first view (`intra`); or, with
`hard_per_expert`, those of the member that learns, p_i.

The release sums masked probabilities, whose exact zeros give NaN gradients on current PyTorch. Here the sum runs over
the hard classes only, in the logarithm: the value is the same, the gradient finite.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from yacs.config import CfgNode

from longtail.config import dataset_parts
from longtail.errors import UserError
from longtail.losses.base import LOSSES, in_float32
from longtail.losses.nested import (
    HardClassLoss,
    distillation,
    gather_hard,
    hard_log_softmax,
    own_distillation,
    settings_of,
)


class NestedPlusLoss(HardClassLoss):
    """The loss of NCL++: cross-entropy, and distillation between experts and between views.

    Args:
        class_counts: training images of each class, (C,).
        hard_number: K, hard classes per sample, its own included; at most C.
        views: V, augmented copies of each image.
        distillation_factor: weight of both distillations.
        **settings: of `HardClassLoss`; `hard_mode` and `hard_per_expert` as the module says.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        hard_number: int,
        views: int = 1,
        distillation_factor: float = 0.6,
        **settings: Any,
    ) -> None:
        super().__init__(class_counts, hard_number, **settings)
        self.views = views
        self.distillation_factor = distillation_factor

    def group_distillation(self, log_probabilities: Tensor, hard: Tensor) -> Tensor:
        """Return the distillation inside each group of n members, summed over groups, mean over samples.

        Args:
            log_probabilities: over all classes, (n, samples, C).
            hard: hard classes that all use, (1, samples, K), or those of each member, (n, samples, K).
        """
        members = len(log_probabilities)
        partial = gather_hard(log_probabilities, hard[:, None])
        if self.hard_mode == "exclude":
            partial = partial.log_softmax(-1)
        between = own_distillation(partial) if self.hard_per_expert else distillation(partial[0])
        factor = 2 * self.share * self.distillation_factor / (members * (members - 1))
        return factor * (distillation(log_probabilities) + between)

    def by_view(self, values: Tensor) -> Tensor:
        """Return (E, V*B, N) as (V, E*B, N): the views become the members of a group."""
        return values.unflatten(1, (self.views, -1)).transpose(0, 1).flatten(1, 2)

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce", "hard_ce"}, "intra" where V > 1 and "inter" where E > 1.

        Args:
            logits: raw network outputs, (E, V*B, C), rows view by view.
            targets: class ids, (V*B,).
            features: not used.
            teacher_logits: not used.

        Raises:
            ValueError: the rows are no whole number of views.
        """
        experts, rows = logits.shape[:2]
        if rows % self.views:
            raise ValueError(f"{rows} rows of logits do not divide into {self.views} views")
        logits = in_float32(logits)
        adjusted = logits + self.prior
        full = adjusted.log_softmax(2)
        hard = self.hard_classes(logits, targets)
        terms = self.cross_entropies(full, hard_log_softmax(adjusted, hard, self.hard_mode), targets)
        if self.views > 1:
            chosen = self.by_view(hard.expand(experts, -1, -1))
            if not self.hard_per_expert:
                chosen = chosen[:1]
            # The mean runs over the images of all experts; the release adds the experts up.
            terms["intra"] = experts * self.group_distillation(self.by_view(full), chosen)
        if experts > 1:
            terms["inter"] = self.group_distillation(full, hard)
        return terms


@LOSSES.register("NIL_NBOD_plus")
def build(cfg: CfgNode, class_counts: list[int]) -> NestedPlusLoss:
    """Build it from LOSS.* and DATASET.INTRA_N; DIVERSITY_FACTOR_HCM has no effect, as in the release."""
    views = len(dataset_parts(cfg).views)
    if views != cfg.DATASET.INTRA_N:
        raise UserError(
            f"LOSS.LOSS_TYPE NIL_NBOD_plus: DATASET.INTRA_N is {cfg.DATASET.INTRA_N}, but {views} views are made"
        )
    return NestedPlusLoss(
        class_counts,
        views=views,
        distillation_factor=cfg.LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR,
        **settings_of(cfg),
    )
