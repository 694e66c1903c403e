"""Progressively balanced sampling: from instance-balanced to class-balanced over the training."""

from torch import Tensor
from yacs.config import CfgNode

from longtail.data.dataset import ImageSet
from longtail.data.samplers.class_weighted import WEIGHTINGS, ClassWeighted


class Progressive(ClassWeighted):
    """p_c(e) = (e/T) / C + (1 - e/T) n_c / N in epoch e (Kang et al., arXiv 1910.09217, eq. 2).

    Args:
        images: Training images.
        seed: Seed of the run.
        epochs: Number of epochs T.
    """

    def __init__(self, images: ImageSet, seed: int, *, epochs: int) -> None:
        super().__init__(images, seed)
        self.epochs = epochs

    def weights(self, epoch: int) -> Tensor:
        """Return p_c(e), see `ClassWeighted.weights`."""
        fraction = epoch / self.epochs
        return fraction / len(self.counts) + (1 - fraction) * self.counts / self.counts.sum()

    def __str__(self) -> str:
        return f"from p_c ~ n_c to class-balanced over {self.epochs} epochs"


@WEIGHTINGS.register("progressive")
def progressive(cfg: CfgNode, images: ImageSet) -> Progressive:
    """Build progressively balanced sampling; e is counted from the first epoch even if the sampler is deferred."""
    return Progressive(images, cfg.RAND_SEED, epochs=cfg.TRAIN.MAX_EPOCH)
