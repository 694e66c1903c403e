"""Instance-balanced sampling: every image once per epoch."""

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data.dataset import ImageSet
from longtail.data.samplers.base import SAMPLERS, Sampler
from longtail.data.seeding import ORDER, generator


class InstanceBalanced(Sampler):
    """Samples each of the first N images once per epoch, in a new order each epoch.

    Args:
        length: Number of images N.
        seed: Seed of the run.
        shuffle: Shuffle the images; False: keep the order of the data set.
    """

    def __init__(self, length: int, seed: int, *, shuffle: bool = True) -> None:
        super().__init__(length)
        self.seed = seed
        self.shuffle = shuffle

    def indices(self, epoch: int) -> Tensor:
        """Return the order of an epoch, see `Sampler.indices`."""
        if not self.shuffle:
            return torch.arange(self.length)
        return torch.randperm(self.length, generator=generator(self.seed, ORDER, epoch))

    def __str__(self) -> str:
        return "every image once per epoch"


@SAMPLERS.register("default")
def default(cfg: CfgNode, images: ImageSet) -> InstanceBalanced:
    """Build the sampler of the original images; generated ones are never drawn."""
    return InstanceBalanced(images.num_original, cfg.RAND_SEED, shuffle=cfg.TRAIN.SHUFFLE)
