"""Class-aware sampling (Shen et al., arXiv 1512.05830): classes in turn, a few images of each; SBCL's second stage."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data.dataset import ImageSet
from longtail.data.samplers.base import SAMPLERS, Sampler
from longtail.data.seeding import DRAW


class ClassAware(Sampler):
    """Takes `per_class` images of a class in a row, then of the next class, in a random order of the classes.

    When every class has had its turn, the classes are shuffled again; when every image of a class has been taken, its
    images are shuffled again. As in the release, an epoch starts where the one before it stopped, so that short epochs
    reach all images of a large class; the last group of an epoch may be cut.

    Args:
        labels: class id of each image, (N,). Classes without images are left out.
        seed: of the run.
        per_class: images of a class in a row; 4 in SBCL.
        length: images of an epoch; None: as released, the largest class times the number of classes.
    """

    def __init__(self, labels: Tensor, seed: int, *, per_class: int = 4, length: int | None = None) -> None:
        sizes = torch.bincount(labels)
        members = labels.argsort(stable=True).tensor_split(sizes[sizes > 0].cumsum(0)[:-1].tolist())
        super().__init__(length or max(map(len, members)) * len(members))
        self.per_class = per_class
        self._members = members
        self._key = np.random.SeedSequence((seed, DRAW)).generate_state(2, np.uint64)

    def indices(self, epoch: int) -> Tensor:
        """Return the order of an epoch, see `Sampler.indices`."""
        groups = -(-self.length // self.per_class)
        classes, before = self._classes((epoch - 1) * groups, groups)
        turns = torch.bincount(classes, minlength=len(self._members))
        images = [
            self._images(label, first * self.per_class, number * self.per_class)
            for label, (first, number) in enumerate(zip(before.tolist(), turns.tolist(), strict=True))
        ]
        return class_aware_order(classes, images)[: self.length]

    def __str__(self) -> str:
        return f"class-aware, {self.per_class} consecutive images per class"

    def _classes(self, first: int, number: int) -> tuple[Tensor, Tensor]:
        """Return the classes of groups `first`, `first` + 1, ..., (number,), and the turns of each before, (C,)."""
        width = len(self._members)
        rounds, inside = divmod(first, width)
        order = self._shuffled(0, width, rounds, -(-(first + number) // width))
        before = rounds + torch.bincount(order[:inside], minlength=width)
        return order[inside : inside + number], before

    def _images(self, label: int, first: int, number: int) -> Tensor:
        """Return images number `first`, `first` + 1, ... of those that a class shows over the training, (number,)."""
        members = self._members[label]
        rounds, inside = divmod(first, len(members))
        order = self._shuffled(1 + label, len(members), rounds, -(-(first + number) // len(members)))
        return members[order[inside : inside + number]]

    def _shuffled(self, stream: int, width: int, first: int, last: int) -> Tensor:
        """Return permutations number `first` to `last` - 1 of a stream, one after the other, ((last - first) * width,).

        The generator counts in blocks of four numbers and can start at any of them, so no state is kept.
        """
        blocks = -(-width // 4)
        bits = np.random.Philox(key=self._key, counter=[first * blocks, stream, 0, 0])
        numbers = bits.random_raw((last - first) * blocks * 4).reshape(last - first, blocks * 4)
        return torch.from_numpy(numbers[:, :width].argsort(axis=1).reshape(-1))


@SAMPLERS.register("class-aware sampler")
def class_aware(cfg: CfgNode, images: ImageSet) -> ClassAware:
    """Build it from TRAIN.SAMPLER.CLASS_AWARE; generated images are never drawn."""
    keys, number = cfg.TRAIN.SAMPLER.CLASS_AWARE, images.num_original
    length = number if keys.LENGTH == "images" else None
    return ClassAware(images.labels[:number], cfg.RAND_SEED, per_class=keys.PER_CLASS, length=length)


def class_aware_order(classes: Tensor, images: Sequence[Tensor]) -> Tensor:
    """Return the order in which groups of images of one class are shown, (G * k,).

    Args:
        classes: class of each group, (G,).
        images: of each class, the images of its groups, one group of k after the other, (groups of the class * k,).
    """
    groups = torch.cat(list(images)).view(len(classes), -1)
    order = torch.empty_like(groups)
    order[classes.argsort(stable=True)] = groups
    return order.flatten()
