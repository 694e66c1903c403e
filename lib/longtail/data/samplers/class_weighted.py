"""Class-weighted sampling: draw a class by its weight, then one of its images uniformly."""

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data.dataset import ImageSet
from longtail.data.samplers.base import SAMPLERS, Sampler, SamplerBuilder
from longtail.data.samplers.deferred import Deferred
from longtail.data.samplers.instance_balanced import default
from longtail.data.seeding import DRAW, generator
from longtail.registry import Registry


class ClassWeighted(Sampler):
    """Samples with replacement; a subclass defines the class weights.

    The weights depend on the original images only, and an epoch has as many samples as there are original images. The
    images of a class include the generated ones.

    Args:
        images: Training images.
        seed: Seed of the run.
    """

    def __init__(self, images: ImageSet, seed: int) -> None:
        super().__init__(images.num_original)
        self.seed = seed
        self.counts = torch.tensor(images.class_counts(), dtype=torch.float64)
        self._by_class = images.labels.argsort(stable=True)  # indices, class after class
        self._sizes = torch.bincount(images.labels, minlength=images.num_classes)
        self._starts = self._sizes.cumsum(0) - self._sizes

    def weights(self, epoch: int) -> Tensor:
        """Return the weight of each class in an epoch (from 1), up to a common factor, (C,) float64."""
        raise NotImplementedError

    def probabilities(self, epoch: int) -> Tensor:
        """Return the probability of each class in an epoch, (C,) float64; zero for a class without images."""
        weights = torch.where(self._sizes > 0, self.weights(epoch), 0.0)
        return weights / weights.sum()

    def indices(self, epoch: int) -> Tensor:
        """Return the draws of an epoch, see `Sampler.indices`."""
        random = generator(self.seed, DRAW, epoch)
        classes = torch.multinomial(self.probabilities(epoch), self.length, replacement=True, generator=random)
        offset = torch.rand(self.length, dtype=torch.float64, generator=random) * self._sizes[classes]
        return self._by_class[self._starts[classes] + offset.long()]


WEIGHTINGS: Registry[SamplerBuilder] = Registry("weighted sampler")


@SAMPLERS.register("weighted sampler")
def weighted(cfg: CfgNode, images: ImageSet) -> Sampler:
    """Build the sampler named by WEIGHTED_SAMPLER.TYPE, deferred if TRAIN.TWO_STAGE.DRS is set."""
    sampler = WEIGHTINGS.get(cfg.TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE)(cfg, images)
    if not cfg.TRAIN.TWO_STAGE.DRS:
        return sampler
    return Deferred(default(cfg, images), sampler, start_epoch=cfg.TRAIN.TWO_STAGE.START_EPOCH)
