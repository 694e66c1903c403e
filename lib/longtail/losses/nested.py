"""NIL_NBOD: nested individual learning and nested balanced online distillation of several experts.

Nested Collaborative Learning, Li et al., CVPR 2022, arXiv 2203.15359. Letters: E experts, B samples, C classes, K hard
classes. Every expert k has calibrated logits a_k = z_k + log n (raw class counts). "Nested" means that each term is
computed twice: over all C classes, and over the K hard classes of each sample (its own and the K - 1 others that score
highest).

What the released code computes, and what the paper says:

- hard classes are chosen by expert 0 from its raw logits, once for everybody; or, with `hard_per_expert` (paper), by
  each expert for itself. An expert then learns from another over the hard classes that it has chosen itself;
- a class that is not hard keeps the logit 0 and stays in the partition function (`zero`, released), or is left out of
  the softmax (`exclude`, paper, eq. 4);
- the divergence of each ordered pair of experts weighs factor / (E - 1), both of them receiving gradients.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.losses.base import LOSSES, Loss, in_float32, log_prior

EPSILON = 1e-9  # inside the logarithm of the distilled probabilities, as released


def hard_classes(logits: Tensor, targets: Tensor, number: int) -> Tensor:
    """Return the hard classes of each sample, its own class first: (..., B, K) class ids.

    Args:
        logits: raw logits of those who choose, (..., B, C).
        targets: class ids, (B,).
        number: K, at most C.
    """
    own = targets.expand(logits.shape[:-1])[..., None]
    return logits.detach().scatter(-1, own, torch.inf).topk(number, dim=-1).indices


def hard_log_softmax(adjusted: Tensor, hard: Tensor, mode: str) -> Tensor:
    """Return log-probabilities over hard classes, (..., B, C) for mode "zero" and (..., B, K) for "exclude".

    Args:
        adjusted: logits plus prior, (..., B, C).
        hard: class ids, (..., B, K); leading dimensions broadcast.
        mode: what becomes of the other classes, see the module.
    """
    if mode == "exclude":
        return gather_hard(adjusted, hard).log_softmax(-1)
    mask = adjusted.new_zeros(*hard.shape[:-1], adjusted.shape[-1]).scatter(-1, hard, 1.0)
    return (adjusted * mask).log_softmax(-1)


def gather_hard(values: Tensor, hard: Tensor) -> Tensor:
    """Return the values (..., B, C) of the classes `hard` (..., B, K); leading dimensions broadcast."""
    lead = torch.broadcast_shapes(values.shape[:-1], hard.shape[:-1])
    return values.expand(*lead, -1).gather(-1, hard.expand(*lead, -1))


def cross_entropy(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over samples, summed over experts, of -log p_y.

    Args:
        log_probabilities: (E, B, C).
        targets: class ids, (B,).
    """
    experts, samples = log_probabilities.shape[:2]
    picked = log_probabilities.gather(2, targets.expand(experts, samples)[..., None])
    return -picked.sum() / samples


def distillation(log_probabilities: Tensor) -> Tensor:
    """Return the sum over ordered pairs of experts i != j of KL(p_j || p_i), mean over samples.

    Works from log-probabilities, so that a probability of exactly zero gives a zero gradient where the library's own
    KL divergence gives NaN. Instead of E (E - 1) divergences it needs three sums over the experts:
    sum_{i != j} p_j (log p_j - l_i) = (E - 1) sum_j p_j log p_j - (sum_j p_j) (sum_i l_i) + sum_j p_j l_j,
    with l = log(p + 1e-9).

    Args:
        log_probabilities: (E, B, C), finite.
    """
    experts, samples = log_probabilities.shape[:2]
    p = log_probabilities.exp()
    learned = (p + EPSILON).log()
    own = (p * ((experts - 1) * log_probabilities + learned)).sum()
    crossed = (p.sum(0) * learned.sum(0)).sum()
    return (own - crossed) / samples


def own_distillation(log_probabilities: Tensor) -> Tensor:
    """Return the sum over ordered pairs of experts i != j of KL(p_ij || p_ii), mean over samples.

    Args:
        log_probabilities: p_ij is what expert j says over the hard classes of expert i; (E, E, B, C), finite.
    """
    p = log_probabilities.exp()
    own, p_own = (values.diagonal().movedim(-1, 0) for values in (log_probabilities, p))
    learned = (p_own + EPSILON).log()
    everybody = (p * (log_probabilities - learned[:, None])).sum()
    return (everybody - (p_own * (own - learned)).sum()) / log_probabilities.shape[2]


class HardClassLoss(Loss):
    """What NCL and NCL++ share: cross-entropy over all and over the hard classes, and when distillation begins.

    Args:
        class_counts: training images of each class, (C,).
        hard_number: K, hard classes per sample, its own included; at most C.
        hard_mode: "zero" or "exclude", see the module.
        ce_ratio: weight of the cross-entropy over all classes.
        hard_ratio: weight of the cross-entropy over the hard classes.
        hard_per_expert: each expert chooses its own hard classes; False: the first one chooses for all.
        prior: what is added to the logits, log n_c ("counts") or log(n_c / N) ("frequencies"). It makes a difference
            for `zero` only, where the classes that are not hard keep a logit of 0.
        ramp: epochs over which the distillation grows from nothing (epoch 1) to its full weight; 0: full at once.

    Attributes:
        share: of the distillation's weight in the present epoch, in [0, 1].
    """

    nested = True
    prior: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        hard_number: int,
        hard_mode: str = "zero",
        ce_ratio: float = 1.0,
        hard_ratio: float = 1.0,
        hard_per_expert: bool = False,
        prior: str = "counts",
        ramp: int = 0,
    ) -> None:
        super().__init__()
        if hard_number > len(class_counts):
            raise UserError(
                f"LOSS.HCM_N is {hard_number}; it must be at most the number of classes, {len(class_counts)}"
            )
        if hard_mode not in ("zero", "exclude"):
            raise UserError(f"LOSS.HCM_MODE is {hard_mode!r}; allowed: 'zero', 'exclude'")
        self.register_buffer("prior", log_prior(class_counts, prior), persistent=False)
        self.hard_number = hard_number
        self.hard_mode = hard_mode
        self.hard_per_expert = hard_per_expert
        self.ce_ratio = ce_ratio
        self.hard_ratio = hard_ratio
        self.ramp = ramp
        self.share = 1.0

    def set_epoch(self, epoch: int) -> None:
        """Tell the loss which epoch (counted from 1) is trained; the distillation grows here."""
        super().set_epoch(epoch)
        self.share = min((epoch - 1) / self.ramp, 1.0) if self.ramp else 1.0

    def hard_classes(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return hard classes (E, B, K), or (1, B, K) where the first expert chooses; logits raw, (E, B, C)."""
        return hard_classes(logits if self.hard_per_expert else logits[:1], targets, self.hard_number)

    def cross_entropies(self, full: Tensor, hard: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return {"ce", "hard_ce"} of log-probabilities over all classes (E, B, C) and over the hard ones."""
        place = torch.zeros_like(targets) if self.hard_mode == "exclude" else targets  # a sample's own class is first
        return {
            "ce": self.ce_ratio * cross_entropy(full, targets),
            "hard_ce": self.hard_ratio * cross_entropy(hard, place),
        }


class NestedLoss(HardClassLoss):
    """The loss of NCL: cross-entropy and mutual distillation, over all and over the hard classes.

    Args:
        class_counts: training images of each class, (C,).
        hard_number: K, hard classes per sample, its own included; at most C.
        distillation_factor: weight of the distillation over all classes.
        hard_distillation_factor: weight of the distillation over the hard classes.
        **settings: of `HardClassLoss`.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        hard_number: int,
        distillation_factor: float = 0.6,
        hard_distillation_factor: float = 0.6,
        **settings: Any,
    ) -> None:
        super().__init__(class_counts, hard_number, **settings)
        self.distillation_factor = distillation_factor
        self.hard_distillation_factor = hard_distillation_factor

    def terms(
        self,
        logits: Tensor,
        targets: Tensor,
        features: Tensor | None = None,
        teacher_logits: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return {"ce", "hard_ce", "nbod", "hard_nbod"}; logits (E, B, C), see `Loss.terms`."""
        logits = in_float32(logits)
        adjusted = logits + self.prior
        full = adjusted.log_softmax(2)
        chosen = self.hard_classes(logits, targets)
        hard = hard_log_softmax(adjusted, chosen, self.hard_mode)
        terms = self.cross_entropies(full, hard, targets)
        pairs = logits.shape[0] - 1
        if pairs:
            if self.hard_per_expert:
                between = own_distillation(hard_log_softmax(adjusted, chosen[:, None], self.hard_mode))
            else:
                between = distillation(hard)
            terms["nbod"] = self.share * self.distillation_factor / pairs * distillation(full)
            terms["hard_nbod"] = self.share * self.hard_distillation_factor / pairs * between
        return terms


def settings_of(cfg: CfgNode) -> dict[str, Any]:
    """Return the arguments of `HardClassLoss` that LOSS.* sets."""
    return {
        "hard_number": cfg.LOSS.HCM_N,
        "hard_mode": cfg.LOSS.HCM_MODE,
        "ce_ratio": cfg.LOSS.CE_RATIO,
        "hard_ratio": cfg.LOSS.HCM_RATIO,
        "hard_per_expert": cfg.LOSS.HCM_PER_EXPERT,
        "prior": cfg.LOSS.HCM_PRIOR,
        "ramp": cfg.LOSS.MULTI_CLASIIFIER_LOSS.RAMP_EPOCHS,
    }


@LOSSES.register("NIL_NBOD")
def build(cfg: CfgNode, class_counts: list[int]) -> NestedLoss:
    """Build it from LOSS.*."""
    return NestedLoss(
        class_counts,
        distillation_factor=cfg.LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR,
        hard_distillation_factor=cfg.LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM,
        **settings_of(cfg),
    )
