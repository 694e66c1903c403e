"""Sampling by a power of the class counts; class-balanced, square-root and reverse sampling are special cases."""

from torch import Tensor
from yacs.config import CfgNode

from longtail.data.dataset import ImageSet
from longtail.data.samplers.class_weighted import WEIGHTINGS, ClassWeighted


class PowerWeighted(ClassWeighted):
    """p_c = n_c^q / sum_i n_i^q (Kang et al., arXiv 1910.09217, eq. 1).

    Args:
        images: Training images.
        seed: Seed of the run.
        exponent: Exponent q. 1: instance-balanced; 1/2: square root; 0: class-balanced; -1: reverse.
    """

    def __init__(self, images: ImageSet, seed: int, *, exponent: float) -> None:
        super().__init__(images, seed)
        self.exponent = exponent

    def weights(self, epoch: int) -> Tensor:
        """Return n_c^q, see `ClassWeighted.weights`."""
        return self.counts**self.exponent

    def __str__(self) -> str:
        return f"p_c ~ n_c^{self.exponent:g}" if self.exponent else "class-balanced"


@WEIGHTINGS.register("balance")
def balance(cfg: CfgNode, images: ImageSet) -> PowerWeighted:
    """Build class-balanced sampling."""
    return PowerWeighted(images, cfg.RAND_SEED, exponent=0.0)


@WEIGHTINGS.register("square")
def square(cfg: CfgNode, images: ImageSet) -> PowerWeighted:
    """Build square-root sampling; under NCL's name the fourth root, which its code computes."""
    return PowerWeighted(images, cfg.RAND_SEED, exponent=cfg.TRAIN.SAMPLER.WEIGHTED_SAMPLER.EXPONENT)
