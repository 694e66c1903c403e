"""Re-sampling by the effective number of samples (Cui et al., arXiv 1901.05555), as in SBCL's code."""

from torch import Tensor
from yacs.config import CfgNode

from longtail.data.dataset import ImageSet
from longtail.data.samplers.class_weighted import WEIGHTINGS, ClassWeighted


class EffectiveNumber(ClassWeighted):
    """Draws an image of class c with the weight (1 - beta) / (1 - beta^n_c), and so the class with n_c times as much.

    Args:
        images: Training images.
        seed: Seed of the run.
        beta: From 0 (p_c = n_c / N) to 1 (class-balanced).
    """

    def __init__(self, images: ImageSet, seed: int, *, beta: float) -> None:
        super().__init__(images, seed)
        self.beta = beta

    def weights(self, epoch: int) -> Tensor:
        """Return n_c / effective number, see `ClassWeighted.weights`."""
        if self.beta == 1:
            return self.counts**0
        return self.counts * (1 - self.beta) / (1 - self.beta**self.counts)

    def __str__(self) -> str:
        return f"p_c ~ n_c / effective number, beta {self.beta:g}"


@WEIGHTINGS.register("effective")
def effective(cfg: CfgNode, images: ImageSet) -> EffectiveNumber:
    """Build effective-number re-sampling."""
    return EffectiveNumber(images, cfg.RAND_SEED, beta=cfg.TRAIN.SAMPLER.WEIGHTED_SAMPLER.BETA)
