"""Which images CAM-based sampling makes: how many of each class, from which originals, by which change."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from longtail.data.cam.images import OPERATIONS, Change
from longtail.data.seeding import GENERATION, generator


def new_images_per_class(class_counts: Sequence[int], threshold: int | None = None) -> list[int]:
    """Return how many images each class gets (Bag of Tricks' release).

    Every class is filled up to n_max + n_min: d_c = n_max + n_min - n_c, so that the largest gets n_min as well. With a
    threshold t, classes of at least t images get none and the others min(d_c, t).

    Args:
        class_counts: n_c, original images per class, (C,).
        threshold: t; None: no threshold.
    """
    full = max(class_counts) + min(class_counts)
    if threshold is None:
        return [full - count for count in class_counts]
    return [min(full - count, threshold) if count < threshold else 0 for count in class_counts]


class NewImage(NamedTuple):
    """Plan of one image.

    Attributes:
        label: its class.
        source: position of the original in the training set.
        change: what is done to its foreground.
    """

    label: int
    source: int
    change: Change


class Plan:
    """The images that are to be made, class after class; number k is a function of the seed and k alone.

    The original is uniform over its class, the operation over the three; the angle is a whole number from -45 to 44,
    the scale 0.80 to 1.19 in steps of 0.01, a shift uniform over those that keep the box in the image.

    Args:
        labels: of the original images, (N,).
        per_class: images to make of each class, (C,).
        seed: of the run.
    """

    def __init__(self, labels: Tensor, per_class: Sequence[int], seed: int) -> None:
        self.per_class = list(per_class)
        self.seed = seed
        self._ends = np.cumsum(self.per_class)
        sizes = torch.bincount(labels, minlength=len(self.per_class)).tolist()
        self._members = labels.argsort(stable=True).split(sizes)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, k: int) -> NewImage:
        label = int(np.searchsorted(self._ends, k, side="right"))
        members = self._members[label]
        which, operation, angle, scale, down, right = torch.rand(
            6, dtype=torch.float64, generator=generator(self.seed, GENERATION, k)
        ).tolist()
        name = tuple(OPERATIONS)[int(operation * len(OPERATIONS))]
        change = Change(name, int(angle * 90) - 45, (80 + int(scale * 40)) / 100, down, right)
        return NewImage(label, int(members[int(which * len(members))]), change)

    def view_generator(self, k: int) -> torch.Generator:
        """Return what draws the augmented view of image k, where its map is taken of one."""
        return generator(self.seed, GENERATION, k, 1)
