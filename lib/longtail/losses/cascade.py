"""Losses of CADEL: the heads of a cascade, each with weights that depend on the heads before it.

The paper of CADEL is not available; the formulas are those of its released code. Letters: E heads in cascade order,
from the shallowest to the deepest, B samples, C classes. Let p_i^(h) be the probability that head h assigns to the
class of sample i. The cascade score of the sample is the mean over the heads up to h, m_i^(h) = (1 / h) sum_{j <= h}
p_i^(j). The interval [0, 1] is divided into equal bins, and a sample in a crowded bin has a large weight:

    w_i^(h) = base_weight + gamma * n_b(i) / B,  n_b(i): number of samples in the bin of sample i

The loss of a head moves from the plain to the weighted mean over the epochs, with l_i the cross-entropy:

    L^(h) = u mean_i(l_i) + (1 - u) mean_i(w_i l_i),  u = 1 - epoch / epochs

`CascadeSoftmax` (for convolutional networks) uses the softmax cross-entropy, `CascadeSigmoid` (for vision transformers)
the binary cross-entropy, summed over the classes. Differences from the release:

- Its softmax loss multiplies tensors of shapes (B, 1) and (B,), so that the weights act as one number per batch:
  mean_i(l_i) mean_i(w_i). That is `weighting` "batch"; "sample", the default, is the formula above, which its sigmoid
  loss computes.
- It counts the samples of a bin per process, so that the loss depends on the number of processes.
- Its binary cross-entropy is NaN for logits of 17 or more, which the scaled cosines of its heads can reach. Here it is
  computed from logits and is finite.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.distributed.gathering import average
from longtail.errors import UserError
from longtail.losses.base import LOSSES, Loss, Prediction
from longtail.precision import in_float32


def density_weights(scores: Tensor, *, bins: int, gamma: float, base_weight: float) -> Tensor:
    """Return the weight of each sample, which grows with the number of samples that have a similar score.

    The samples of all processes are counted, each of which must have B samples.

    Args:
        scores: Cascade scores in [0, 1], (..., B).
        bins: Number of equal bins; an edge belongs to the bin above it, 1 to the last bin.
        gamma: Weight of the fraction of the samples in the same bin.
        base_weight: Weight of a sample in an empty bin.

    Returns:
        (..., B), from base_weight + gamma / B to base_weight + gamma.
    """
    index = (scores.detach() * bins).long().clamp(0, bins - 1)
    members = index[..., None] == torch.arange(bins, device=scores.device)
    fractions = average(members.to(scores.dtype).mean(-2))
    return base_weight + gamma * fractions.gather(-1, index)


@dataclass(frozen=True)
class Density:
    """Options of the density weights.

    Attributes:
        bins: Number of equal bins of the scores.
        gamma: Weight of the fraction of the samples in the same bin.
        base_weight: Weight of a sample in an empty bin.
        weighting: "sample", or "batch" for the mean weight of the batch, see the module.
    """

    bins: int = 8
    gamma: float = 1.0
    base_weight: float = 2.0
    weighting: str = "sample"

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "Density":
        """Read the options from LOSS.Cascade."""
        keys = cfg.LOSS.Cascade
        return cls(keys.BINS, keys.GAMMA, keys.BASE_WEIGHT, keys.WEIGHTING)

    def weights(self, scores: Tensor) -> Tensor:
        """Return the weights, (E, B) or (E, 1), of samples with the cascade scores (E, B)."""
        weights = density_weights(scores, bins=self.bins, gamma=self.gamma, base_weight=self.base_weight)
        return weights if self.weighting == "sample" else average(weights.mean(1, keepdim=True))


DEFAULT = Density()


def cascade_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    kind: str,
    uniform: float,
    bins: int,
    gamma: float,
    base_weight: float,
    weighting: str,
    targets2: Tensor | None = None,
    lam: float | Tensor = 1.0,
) -> Tensor:
    """Return the cascade loss of each head, (E,); see the module.

    Args:
        logits: Raw logits of the heads in cascade order, (E, B, C).
        targets: Class ids, (B,).
        kind: "softmax" or "sigmoid".
        uniform: Weight u of the plain mean, in [0, 1].
        bins: See `Density`, as for `gamma`, `base_weight` and `weighting`.
        gamma: See above.
        base_weight: See above.
        weighting: See above.
        targets2: Class ids of the second images of mixtures, (B,); scores and weights are computed separately for them.
        lam: Weight of the loss on `targets`; the loss on `targets2` has 1 - lam.

    Raises:
        UserError: There is no such kind or weighting.
    """
    if kind not in KINDS or weighting not in WEIGHTINGS:
        allowed = f"{', '.join(KINDS)}; {', '.join(WEIGHTINGS)}"
        raise UserError(f"cascade loss: kind is {kind!r} and weighting {weighting!r}; allowed: {allowed}")
    density = Density(bins, gamma, base_weight, weighting)
    first = _head_losses(logits, targets, kind=kind, uniform=uniform, density=density)
    if targets2 is None:
        return first
    return lam * first + (1 - lam) * _head_losses(logits, targets2, kind=kind, uniform=uniform, density=density)


def _head_losses(
    logits: Tensor, targets: Tensor, *, kind: str, uniform: float, density: Density, rows: Tensor | None = None
) -> Tensor:
    """Return the cascade loss of each head for one set of labels, (E,); rows are factors of the samples, (B,)."""
    logits = in_float32(logits)
    losses, probabilities = KINDS[kind](logits, targets.expand(logits.shape[:2])[..., None])
    heads = torch.arange(1, len(logits) + 1, device=logits.device)
    weights = density.weights(probabilities.detach().cumsum(0) / heads[:, None])
    factors = uniform + (1 - uniform) * weights
    return ((factors if rows is None else factors * rows) * losses).mean(1)


def _softmax_terms(logits: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and probability of each label, (E, B); labels are (E, B, 1)."""
    losses = -logits.log_softmax(-1).gather(-1, own)
    return losses[..., 0], logits.softmax(-1).gather(-1, own)[..., 0]


def _sigmoid_terms(logits: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Return binary cross-entropy, summed over the classes, and probability of each label; see `_softmax_terms`."""
    picked = logits.gather(-1, own)[..., 0]
    return F.softplus(logits).sum(-1) - picked, picked.sigmoid()


KINDS = {"softmax": _softmax_terms, "sigmoid": _sigmoid_terms}
WEIGHTINGS = ("sample", "batch")


class CascadeLoss(Loss):
    """Sum over the heads of the cascade loss; see the module.

    Mixup calls it once for each of the two labels, lam L(z, y) + (1 - lam) L(z, y'), as the release does.

    Args:
        kind: "softmax" or "sigmoid".
        epochs: Epochs of the training.
        density: Options of the density weights.

    Attributes:
        uniform: Weight of the plain mean in the current epoch.
    """

    nested = True
    weighs_rows = True

    def __init__(self, kind: str, epochs: int, *, density: Density = DEFAULT) -> None:
        super().__init__()
        self.kind = kind
        self.epochs = epochs
        self.density = density
        self.uniform = 1.0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 1; the weight of the plain mean decreases linearly to 0 in the last epoch."""
        super().set_epoch(epoch)
        self.uniform = 1 - min(epoch / self.epochs, 1)

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        """Return {"head0", "head1", ...}, the loss of each head; logits (E, V*B, C)."""
        losses = _head_losses(
            prediction.logits,
            prediction.targets,
            kind=self.kind,
            uniform=self.uniform,
            density=self.density,
            rows=prediction.row_weights,
        )
        return {f"head{number}": loss for number, loss in enumerate(losses)}


@LOSSES.register("CascadeSoftmax")
def build_softmax(cfg: CfgNode, class_counts: list[int]) -> CascadeLoss:
    """Build the loss of CADEL's convolutional networks from LOSS.Cascade and TRAIN.MAX_EPOCH."""
    return CascadeLoss("softmax", cfg.TRAIN.MAX_EPOCH, density=Density.from_config(cfg))


@LOSSES.register("CascadeSigmoid")
def build_sigmoid(cfg: CfgNode, class_counts: list[int]) -> CascadeLoss:
    """Build the loss of CADEL's vision transformers from LOSS.Cascade and TRAIN.MAX_EPOCH."""
    return CascadeLoss("sigmoid", cfg.TRAIN.MAX_EPOCH, density=Density.from_config(cfg))
