"""Remix: mixup whose labels lean towards the smaller class."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.losses import Loss
from longtail.methods.base import METHODS, Step
from longtail.methods.mixing import require_mixable
from longtail.methods.mixup import Mixup
from longtail.models import Output


class Remix(Mixup):
    """Mixup of images as ever, but labels by class size (Chou et al., arXiv 2007.03943).

    With n the size of a row's own class and m that of its partner's: the label is the partner's alone where
    n >= kappa m and share < tau, the row's own alone where kappa n <= m and 1 - share < tau, and shared as the pixels
    are elsewhere.

    A label that one image takes alone is the same as giving it to both, so it is computed as mixup with some targets
    replaced: exact for each row, whatever the loss, and a loss with class weights divides by those of the labels that
    count. The release averages the shares of the labels over the batch, which loses which row they belong to.

    Args:
        network: may be wrapped for several devices.
        loss: of one expert.
        alpha: the share is drawn from Beta(alpha, alpha).
        class_counts: training images of each class, (C,).
        kappa: how many times larger a class must be.
        tau: how small its share must be.
        average: as released.
    """

    counts: Tensor

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        alpha: float,
        class_counts: Sequence[int],
        kappa: float = 3.0,
        tau: float = 0.5,
        average: bool = False,
    ) -> None:
        super().__init__(network, loss, alpha)
        self.register_buffer("counts", torch.tensor(class_counts, dtype=torch.float64), persistent=False)
        self.kappa = kappa
        self.tau = tau
        self.average = average

    def step(self, output: Output, first: Tensor, second: Tensor, share: Tensor) -> Step:
        """Return the step for mixtures, see `Mixing.step`."""
        own, other = self.counts[first], self.counts[second]
        to_first = (self.kappa * own <= other) & (1 - share < self.tau)
        to_second = (own >= self.kappa * other) & (share < self.tau) & ~to_first
        if self.average:
            shares = torch.where(to_first, 1.0, torch.where(to_second, 0.0, share))
            return super().step(output, first, second, shares.mean())
        return super().step(output, torch.where(to_second, second, first), torch.where(to_first, first, second), share)


@METHODS.register("remix")
def build(cfg: CfgNode, network: nn.Module, loss: Loss) -> Remix:
    """Build it from TRAIN.COMBINER, for losses of one expert."""
    require_mixable(cfg, loss)
    alpha, keys = cfg.TRAIN.COMBINER.ALPHA, cfg.TRAIN.COMBINER.REMIX
    return Remix(network, loss, alpha, loss.class_counts, keys.KAPPA, keys.TAU, keys.RELEASED)
