"""Class-weighted sampling: draw a class, then one of its images uniformly."""

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import sampling
from longtail.data.dataset import ImageSet
from longtail.data.samplers.base import SAMPLERS, Sampler, SamplerBuilder
from longtail.data.samplers.deferred import Deferred
from longtail.data.samplers.instance_balanced import default
from longtail.data.seeding import DRAW, generator
from longtail.registry import Registry


class ClassWeighted(Sampler):
    """Draws with replacement; a subclass says how often each class comes (`weights`).

    Weights come from the original images, and an epoch is as long as there are of those; the images of a class that
    are drawn from include those generated for it.

    Args:
        images: the set.
        seed: of the run.
    """

    def __init__(self, images: ImageSet, seed: int) -> None:
        super().__init__(images.originals)
        self.seed = seed
        self.counts = torch.tensor(images.class_counts(), dtype=torch.float64)
        self._by_class = images.labels.argsort(stable=True)  # positions, class after class
        self._sizes = torch.bincount(images.labels, minlength=images.num_classes)
        self._starts = self._sizes.cumsum(0) - self._sizes

    def weights(self, epoch: int) -> Tensor:
        """Return how often each class is drawn in an epoch (from 1), up to a common factor, (C,) float64."""
        raise NotImplementedError

    def probabilities(self, epoch: int) -> Tensor:
        """Return the probability of each class in an epoch, (C,) float64; a class without images has none."""
        weights = torch.where(self._sizes > 0, self.weights(epoch), 0.0)
        return weights / weights.sum()

    def indices(self, epoch: int) -> Tensor:
        """Return the draws of an epoch, see `Sampler.indices`."""
        random = generator(self.seed, DRAW, epoch)
        classes = torch.multinomial(self.probabilities(epoch), self.length, replacement=True, generator=random)
        place = torch.rand(self.length, dtype=torch.float64, generator=random) * self._sizes[classes]
        return self._by_class[self._starts[classes] + place.long()]


WEIGHTINGS: Registry[SamplerBuilder] = Registry("weighted sampler")


@SAMPLERS.register("weighted sampler")
def weighted(cfg: CfgNode, images: ImageSet) -> Sampler:
    """Build the one called WEIGHTED_SAMPLER.TYPE, deferred where TRAIN.TWO_STAGE.DRS says so."""
    sampler = WEIGHTINGS.get(sampling(cfg).weighting)(cfg, images)
    if not cfg.TRAIN.TWO_STAGE.DRS:
        return sampler
    return Deferred(default(cfg, images), sampler, cfg.TRAIN.TWO_STAGE.START_EPOCH)
