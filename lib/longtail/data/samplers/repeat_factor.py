"""Repeat-factor sampling: images of rare classes several times per epoch, all others once."""

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data.dataset import ImageSet
from longtail.data.samplers.base import SAMPLERS, Sampler
from longtail.data.seeding import DRAW, ORDER, generator

_ONE = 2**32  # fractional parts are whole multiples of 1 / _ONE, so that their sums are exact


def repeat_factors(class_counts: Tensor, threshold: float) -> Tensor:
    """Return r_c = max(1, sqrt(threshold / f_c)) of each class with f_c = n_c / N (Gupta et al., arXiv 1908.03195).

    Args:
        class_counts: Images per class, (C,); the factor of a class without images is 1.
        threshold: Fraction of the images below which a class is repeated.

    Returns:
        (C,) float64.
    """
    fractions = class_counts.double() / class_counts.sum()
    return torch.where(fractions > 0, (threshold / fractions).sqrt(), 1.0).clamp(min=1)


class RepeatFactor(Sampler):
    """Shows an image of class c r_c times per epoch on average, see `repeat_factors`.

    In every epoch each fractional part is rounded up with a probability equal to it, by systematic sampling: the number
    of images then varies by at most one, and every epoch is cut to the smaller number.

    Args:
        labels: Class id of each image, (N,).
        seed: Seed of the run.
        threshold: Fraction of the images below which a class is repeated; 0: 1 / number of classes.
        num_classes: Number of classes C.
    """

    def __init__(self, labels: Tensor, seed: int, *, threshold: float, num_classes: int) -> None:
        factors = repeat_factors(torch.bincount(labels, minlength=num_classes), threshold or 1 / num_classes)
        self.factors = factors[labels]
        self._whole = self.factors.long()
        self._rest = ((self.factors - self._whole) * _ONE).long()
        super().__init__(int(self._whole.sum() + self._rest.sum() // _ONE))
        self.seed = seed

    def repeats(self, epoch: int) -> Tensor:
        """Return how often each image is shown in an epoch, before the epoch is cut to its length, (N,) int64."""
        random = generator(self.seed, DRAW, epoch)
        order = torch.randperm(len(self.factors), generator=random)
        offset = torch.randint(_ONE, (1,), generator=random)
        ends = (self._rest[order].cumsum(0) + offset) // _ONE
        extra = torch.empty_like(ends)
        extra[order] = ends.diff(prepend=torch.zeros_like(offset))
        return self._whole + extra

    def indices(self, epoch: int) -> Tensor:
        """Return the order of an epoch, see `Sampler.indices`."""
        shown = torch.arange(len(self.factors)).repeat_interleave(self.repeats(epoch))
        order = torch.randperm(len(shown), generator=generator(self.seed, ORDER, epoch))
        return shown[order][: self.length]

    def __str__(self) -> str:
        return f"repeat factors from 1 to {float(self.factors.max()):.3g}, {self.length} images per epoch"


@SAMPLERS.register("repeat-factor sampler")
def repeat_factor(cfg: CfgNode, images: ImageSet) -> RepeatFactor:
    """Build the sampler from TRAIN.SAMPLER.REPEAT_FACTOR; generated images are never drawn."""
    threshold = cfg.TRAIN.SAMPLER.REPEAT_FACTOR.THRESHOLD
    labels = images.labels[: images.num_original]
    return RepeatFactor(labels, cfg.RAND_SEED, threshold=threshold, num_classes=images.num_classes)
