"""Sampling by a power of the class counts: class-balanced, square-root and reverse sampling are three of them."""

from torch import Tensor
from yacs.config import CfgNode

from longtail.config import sampling
from longtail.data.dataset import ImageSet
from longtail.data.samplers.class_weighted import WEIGHTINGS, ClassWeighted


class PowerWeighted(ClassWeighted):
    """p_c = n_c^q / sum_i n_i^q (Kang et al., arXiv 1910.09217, eq. 1).

    Args:
        images: the set.
        seed: of the run.
        exponent: q. 1: as often as a class has images; 1/2: square root; 0: all classes alike; -1: reverse.
    """

    def __init__(self, images: ImageSet, seed: int, exponent: float) -> None:
        super().__init__(images, seed)
        self.exponent = exponent

    def weights(self, epoch: int) -> Tensor:
        """Return n_c^q, see `ClassWeighted.weights`."""
        return self.counts**self.exponent

    def __str__(self) -> str:
        return f"classes as n_c^{self.exponent:g}" if self.exponent else "all classes alike"


@WEIGHTINGS.register("balance")
def balance(cfg: CfgNode, images: ImageSet) -> PowerWeighted:
    """Build class-balanced sampling."""
    return PowerWeighted(images, cfg.RAND_SEED, 0.0)


@WEIGHTINGS.register("square")
def square(cfg: CfgNode, images: ImageSet) -> PowerWeighted:
    """Build square-root sampling, or with NCL's name the fourth root that its code computes."""
    return PowerWeighted(images, cfg.RAND_SEED, sampling(cfg).exponent)
