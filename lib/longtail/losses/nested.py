"""NIL_NBOD: nested individual learning and nested balanced online distillation of several experts.

Nested Collaborative Learning, Li et al., CVPR 2022, arXiv 2203.15359. Letters: E experts, B samples, C classes, K hard
classes. Each expert k has adjusted logits a_k = z_k + log n with raw class counts n. "Nested" means that each term is
computed twice: over all C classes, and over the K hard classes of each sample, which are its own class and the K - 1
other classes with the highest logits.

Differences between the released code and the paper:

- Expert 0 chooses the hard classes from its raw logits for all experts (released); or, with `per_expert`, each expert
  chooses its own (paper) and learns from the others over the hard classes that it has chosen.
- A class that is not hard has the logit 0 and stays in the partition function (`zero`, released), or is excluded from
  the softmax (`exclude`, paper, eq. 4).
- The divergence of each ordered pair of experts has weight factor / (E - 1); both experts receive gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.base import LOSSES, Loss, Prediction, log_prior
from longtail.precision import in_float32

EPSILON = 1e-9  # inside the logarithm of the distilled probabilities, as released
HARD_FRACTION = 0.3  # fraction of hard classes in the paper's experiments


def hard_classes(logits: Tensor, targets: Tensor, *, number: int) -> Tensor:
    """Return the hard classes of each sample, its own class first, (..., B, K) class ids.

    Args:
        logits: Raw logits of the expert that chooses, (..., B, C).
        targets: Class ids, (B,).
        number: Hard classes per sample K, at most C.
    """
    own = targets.expand(logits.shape[:-1])[..., None]
    return logits.detach().scatter(-1, own, torch.inf).topk(number, dim=-1).indices


def hard_log_softmax(adjusted: Tensor, hard: Tensor, *, mode: str) -> Tensor:
    """Return log-probabilities over hard classes, (..., B, C) for mode "zero" and (..., B, K) for "exclude".

    Args:
        adjusted: Logits plus prior, (..., B, C).
        hard: Class ids, (..., B, K); leading dimensions broadcast.
        mode: How the other classes are treated, see the module.
    """
    if mode == "exclude":
        return gather_hard(adjusted, hard).log_softmax(-1)
    mask = adjusted.new_zeros(*hard.shape[:-1], adjusted.shape[-1]).scatter(-1, hard, 1.0)
    return (adjusted * mask).log_softmax(-1)


def gather_hard(values: Tensor, hard: Tensor) -> Tensor:
    """Return the values (..., B, C) at the classes `hard` (..., B, K); leading dimensions broadcast."""
    lead = torch.broadcast_shapes(values.shape[:-1], hard.shape[:-1])
    return values.expand(*lead, -1).gather(-1, hard.expand(*lead, -1))


def cross_entropy(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return -log p_y, averaged over samples and summed over experts.

    Args:
        log_probabilities: (E, B, C).
        targets: Class ids, (B,).
    """
    experts, samples = log_probabilities.shape[:2]
    picked = log_probabilities.gather(2, targets.expand(experts, samples)[..., None])
    return -picked.sum() / samples


def distillation(log_probabilities: Tensor) -> Tensor:
    """Return the sum over ordered pairs of experts i != j of KL(p_j || p_i), averaged over samples.

    Uses log-probabilities: where a probability is exactly zero, the gradient is zero, whereas `F.kl_div` gives NaN.
    Instead of E (E - 1) divergences it needs three sums over the experts:
    sum_{i != j} p_j (log p_j - l_i) = (E - 1) sum_j p_j log p_j - (sum_j p_j) (sum_i l_i) + sum_j p_j l_j,
    with l = log(p + 1e-9).

    Args:
        log_probabilities: (E, B, C), finite.
    """
    experts, samples = log_probabilities.shape[:2]
    p = log_probabilities.exp()
    smoothed = (p + EPSILON).log()
    own = (p * ((experts - 1) * log_probabilities + smoothed)).sum()
    crossed = (p.sum(0) * smoothed.sum(0)).sum()
    return (own - crossed) / samples


def own_distillation(log_probabilities: Tensor) -> Tensor:
    """Return the sum over ordered pairs of experts i != j of KL(p_ij || p_ii), averaged over samples.

    Args:
        log_probabilities: (E, E, B, C), finite; p_ij is the prediction of expert j over the hard classes of expert i.
    """
    p = log_probabilities.exp()
    own, p_own = (values.diagonal().movedim(-1, 0) for values in (log_probabilities, p))
    smoothed = (p_own + EPSILON).log()
    all_pairs = (p * (log_probabilities - smoothed[:, None])).sum()
    return (all_pairs - (p_own * (own - smoothed)).sum()) / log_probabilities.shape[2]


@dataclass(frozen=True)
class HardClassSettings:
    """Options of the nested losses.

    Attributes:
        number: Hard classes per sample K, its own class included; at most C. 0: 30 % of the classes, as in the paper,
            and at least 2.
        mode: "zero" or "exclude", see the module.
        ce_ratio: Weight of the cross-entropy over all classes.
        hard_ratio: Weight of the cross-entropy over the hard classes.
        per_expert: Each expert chooses its own hard classes; False: the first one chooses for all.
        prior: Prior that is added to the logits, log n_c ("counts") or log(n_c / N) ("frequencies"). The choice only
            matters in mode "zero", where the classes that are not hard have the logit 0.
        ramp: Epochs over which the weight of the distillation grows from 0 (epoch 1) to its full value; 0: full at
            once.
    """

    number: int
    mode: str = "zero"
    ce_ratio: float = 1.0
    hard_ratio: float = 1.0
    per_expert: bool = False
    prior: str = "counts"
    ramp: int = 0

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "HardClassSettings":
        """Read the options from LOSS.*."""
        return cls(
            number=cfg.LOSS.HCM_N,
            mode=cfg.LOSS.HCM_MODE,
            ce_ratio=cfg.LOSS.CE_RATIO,
            hard_ratio=cfg.LOSS.HCM_RATIO,
            per_expert=cfg.LOSS.HCM_PER_EXPERT,
            prior=cfg.LOSS.HCM_PRIOR,
            ramp=cfg.LOSS.MULTI_CLASIIFIER_LOSS.RAMP_EPOCHS,
        )


class HardClassLoss(Loss):
    """Base class of NCL and NCL++: cross-entropy over all and over the hard classes, and the ramp of the distillation.

    Args:
        class_counts: Training images per class, (C,).
        hard: Options.

    Attributes:
        ramp_factor: Factor of the distillation's weight in the current epoch, in [0, 1].

    Raises:
        UserError: There are more hard classes than classes, or the mode is unknown.
    """

    nested = True
    prior: Tensor

    def __init__(self, class_counts: Sequence[int], hard: HardClassSettings) -> None:
        super().__init__()
        if not hard.number:
            hard = replace(hard, number=min(max(2, round(HARD_FRACTION * len(class_counts))), len(class_counts)))
        if hard.number > len(class_counts):
            raise UserError(
                f"LOSS.HCM_N is {hard.number}; it must be at most the number of classes, {len(class_counts)}"
            )
        if hard.mode not in ("zero", "exclude"):
            raise UserError(f"LOSS.HCM_MODE is {hard.mode!r}; allowed: 'zero', 'exclude'")
        self.register_buffer("prior", log_prior(class_counts, hard.prior).float(), persistent=False)
        self.hard = hard
        self.ramp_factor = 1.0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 1; the weight of the distillation grows here."""
        super().set_epoch(epoch)
        self.ramp_factor = min((epoch - 1) / self.hard.ramp, 1.0) if self.hard.ramp else 1.0

    def hard_classes(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return hard classes (E, B, K), or (1, B, K) if the first expert chooses; logits are raw, (E, B, C)."""
        return hard_classes(logits if self.hard.per_expert else logits[:1], targets, number=self.hard.number)

    def cross_entropies(self, full: Tensor, hard: Tensor, *, targets: Tensor) -> dict[str, Tensor]:
        """Return {"ce", "hard_ce"} of log-probabilities over all classes (E, B, C) and over the hard ones."""
        # The sample's own class is the first of the K hard classes.
        hard_targets = torch.zeros_like(targets) if self.hard.mode == "exclude" else targets
        return {
            "ce": self.hard.ce_ratio * cross_entropy(full, targets),
            "hard_ce": self.hard.hard_ratio * cross_entropy(hard, hard_targets),
        }


class NestedLoss(HardClassLoss):
    """Loss of NCL: cross-entropy and mutual distillation, over all and over the hard classes.

    Args:
        class_counts: Training images per class, (C,).
        hard: Options of the hard classes.
        distillation_factor: Weight of the distillation over all classes.
        hard_distillation_factor: Weight of the distillation over the hard classes.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        hard: HardClassSettings,
        *,
        distillation_factor: float = 0.6,
        hard_distillation_factor: float = 0.6,
    ) -> None:
        super().__init__(class_counts, hard)
        self.distillation_factor = distillation_factor
        self.hard_distillation_factor = hard_distillation_factor

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"ce", "hard_ce"}, and {"nbod", "hard_nbod"} if E > 1; logits (E, B, C)."""
        logits, mode = in_float32(prediction.logits), self.hard.mode
        adjusted = logits + self.prior
        full = adjusted.log_softmax(2)
        chosen = self.hard_classes(logits, prediction.targets)
        hard = hard_log_softmax(adjusted, chosen, mode=mode)
        terms = self.cross_entropies(full, hard, targets=prediction.targets)
        pairs = logits.shape[0] - 1
        if pairs:
            if self.hard.per_expert:
                hard_divergence = own_distillation(hard_log_softmax(adjusted, chosen[:, None], mode=mode))
            else:
                hard_divergence = distillation(hard)
            terms["nbod"] = self.ramp_factor * self.distillation_factor / pairs * distillation(full)
            terms["hard_nbod"] = self.ramp_factor * self.hard_distillation_factor / pairs * hard_divergence
        return terms


@LOSSES.register("NIL_NBOD")
def build(cfg: CfgNode, class_counts: list[int]) -> NestedLoss:
    """Build the loss from LOSS.*."""
    keys = cfg.LOSS.MULTI_CLASIIFIER_LOSS
    return NestedLoss(
        class_counts,
        HardClassSettings.from_config(cfg),
        distillation_factor=keys.DIVERSITY_FACTOR,
        hard_distillation_factor=keys.DIVERSITY_FACTOR_HCM,
    )
