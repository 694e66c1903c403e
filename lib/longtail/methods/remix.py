"""Remix: mixup whose labels favor the smaller class."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.losses import Loss
from longtail.methods.base import Step, TrainingData
from longtail.methods.mixing import refuse_unmixable
from longtail.methods.mixup import Mixup
from longtail.methods.registry import register
from longtail.models import Output


class Remix(Mixup):
    """Mixup of images, with labels by class size (Chou et al., arXiv 2007.03943).

    Let n be the size of a row's class and m that of its partner's class. The label is that of the partner alone if
    n >= kappa m and lam < tau, that of the row alone if kappa n <= m and 1 - lam < tau, and mixed like the pixels
    otherwise.

    Using the label of one image alone is the same as assigning it to both images. So this is computed as mixup with
    some targets replaced, which is exact for each row and every loss; a loss with class weights is normalized by the
    weights of the resulting labels. The release averages the weights of the labels over the batch, so they no longer
    depend on the row.

    Args:
        network: Images to `Output`.
        loss: Loss without a teacher.
        alpha: lam is drawn from Beta(alpha, alpha).
        class_counts: Training images per class, (C,).
        kappa: Imbalance ratio above which the smaller class takes the whole label.
        tau: Largest weight at which an image may lose its label.
        average: Average the weights over the batch, as released.
        per_sample: See `Mixing`.
    """

    counts: Tensor

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        *,
        alpha: float,
        class_counts: Sequence[int],
        kappa: float = 3.0,
        tau: float = 0.5,
        average: bool = False,
        per_sample: bool = False,
    ) -> None:
        super().__init__(network, loss, alpha=alpha, per_sample=per_sample)
        self.register_buffer("counts", torch.tensor(class_counts, dtype=torch.float64), persistent=False)
        self.kappa = kappa
        self.tau = tau
        self.average = average

    def step(self, output: Output, first: Tensor, *, second: Tensor, lam: Tensor) -> Step:
        """Return the step for mixtures, see `Mixing.step`."""
        own, other = self.counts[first], self.counts[second]
        to_first = (self.kappa * own <= other) & (1 - lam < self.tau)
        to_second = (own >= self.kappa * other) & (lam < self.tau) & ~to_first
        if self.average:
            weights = torch.where(to_first, 1.0, torch.where(to_second, 0.0, lam))
            return super().step(output, first, second=second, lam=weights.mean())
        targets, others = torch.where(to_second, second, first), torch.where(to_first, first, second)
        return super().step(output, targets, second=others, lam=lam)


@register("remix")
def build(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> Remix:
    """Build the method from TRAIN.COMBINER."""
    refuse_unmixable(cfg, loss)
    keys = cfg.TRAIN.COMBINER.REMIX
    return Remix(
        network,
        loss,
        alpha=cfg.TRAIN.COMBINER.ALPHA,
        class_counts=data.class_counts,
        kappa=keys.KAPPA,
        tau=keys.TAU,
        average=keys.RELEASED,
        per_sample=cfg.TRAIN.COMBINER.PER_SAMPLE,
    )
