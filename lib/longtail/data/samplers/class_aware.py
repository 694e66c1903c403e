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

    After every pass over the classes their order is shuffled again, and so are the images of a class after every pass
    over them. As in the release, an epoch continues where the previous one stopped, so that short epochs reach all
    images of a large class; the last group of an epoch may be truncated.

    Args:
        labels: Class id of each image, (N,). Classes without images are skipped.
        seed: Seed of the run.
        per_class: Images of a class in a row; 4 in SBCL.
        length: Images per epoch; None: as released, the size of the largest class times the number of classes.
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
        """Return the classes of groups `first`, `first` + 1, ..., (number,), and the earlier groups per class, (C,)."""
        width = len(self._members)
        rounds, inside = divmod(first, width)
        order = self._shuffled(0, width, rounds, -(-(first + number) // width))
        before = rounds + torch.bincount(order[:inside], minlength=width)
        return order[inside : inside + number], before

    def _images(self, label: int, first: int, number: int) -> Tensor:
        """Return the images `first`, `first` + 1, ... in the sequence of a class over the whole training, (number,)."""
        members = self._members[label]
        rounds, inside = divmod(first, len(members))
        order = self._shuffled(1 + label, len(members), rounds, -(-(first + number) // len(members)))
        return members[order[inside : inside + number]]

    def _shuffled(self, stream: int, width: int, first: int, last: int) -> Tensor:
        """Return the permutations `first` to `last` - 1 of a stream, concatenated, ((last - first) * width,).

        The counter-based generator makes blocks of four numbers and can start at any block, so no state is kept.
        """
        blocks = -(-width // 4)
        bits = np.random.Philox(key=self._key, counter=[first * blocks, stream, 0, 0])
        numbers = bits.random_raw((last - first) * blocks * 4).reshape(last - first, blocks * 4)
        return torch.from_numpy(numbers[:, :width].argsort(axis=1).reshape(-1))


@SAMPLERS.register("class-aware sampler")
def class_aware(cfg: CfgNode, images: ImageSet) -> ClassAware:
    """Build the sampler from TRAIN.SAMPLER.CLASS_AWARE; generated images are never drawn."""
    keys, number = cfg.TRAIN.SAMPLER.CLASS_AWARE, images.num_original
    length = number if keys.LENGTH == "images" else None
    return ClassAware(images.labels[:number], cfg.RAND_SEED, per_class=keys.PER_CLASS, length=length)


def class_aware_order(classes: Tensor, images: Sequence[Tensor]) -> Tensor:
    """Return the order in which groups of images of one class are shown, (G * k,).

    Args:
        classes: Class of each group, (G,).
        images: For each class, the images of its groups, concatenated, (groups of the class * k,).
    """
    groups = torch.cat(list(images)).view(len(classes), -1)
    order = torch.empty_like(groups)
    order[classes.argsort(stable=True)] = groups
    return order.flatten()
