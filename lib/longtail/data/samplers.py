"""Which samples an epoch shows, and in which order."""

from collections.abc import Callable

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data.image_set import ImageSet
from longtail.data.seeding import ORDER, generator
from longtail.registry import Registry


class Sampler:
    """Every sample once per epoch, in a new order each time.

    Args:
        length: N.
        seed: of the run.
        shuffle: False keeps the order of the data set.
    """

    def __init__(self, length: int, seed: int, shuffle: bool = True) -> None:
        self.length = length
        self.seed = seed
        self.shuffle = shuffle

    def indices(self, epoch: int) -> Tensor:
        """Return the order of epoch `epoch` (from 1), positions in the data set, (N,)."""
        if not self.shuffle:
            return torch.arange(self.length)
        return torch.randperm(self.length, generator=generator(self.seed, ORDER, epoch))


SAMPLERS: Registry[Callable[[CfgNode, ImageSet], Sampler]] = Registry("sampler")


@SAMPLERS.register("default")
def default(cfg: CfgNode, images: ImageSet) -> Sampler:
    """Instance-balanced sampling."""
    return Sampler(len(images), cfg.RAND_SEED, cfg.TRAIN.SHUFFLE)
