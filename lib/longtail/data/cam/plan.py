"""The plan of CAM-based sampling: how many images each class gets, from which originals, and by which transforms."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from longtail.data.cam.images import OPERATIONS, Transform
from longtail.data.seeding import GENERATION, generator


def generated_per_class(class_counts: Sequence[int], threshold: int | None = None) -> list[int]:
    """Return the number of images to generate per class, as in the release of Bag of Tricks, (C,).

    Every class is filled up to n_max + n_min images: d_c = n_max + n_min - n_c, so the largest class gets n_min images
    as well. With a threshold t, classes of at least t images get none and the others get min(d_c, t).

    Args:
        class_counts: Original images per class n_c, (C,).
        threshold: Threshold t; None: no threshold.
    """
    full = max(class_counts) + min(class_counts)
    if threshold is None:
        return [full - count for count in class_counts]
    return [min(full - count, threshold) if count < threshold else 0 for count in class_counts]


class PlannedImage(NamedTuple):
    """Plan of one image.

    Attributes:
        label: Class of the image.
        source: Index of the original image in the training set.
        transform: Transform of its foreground.
    """

    label: int
    source: int
    transform: Transform


class GenerationPlan:
    """The images to generate, class after class. Image k depends on the seed and k only.

    The original image is uniform over its class and the operation uniform over the three operations; the angle is an
    integer from -45 to 44, the scale 0.80 to 1.19 in steps of 0.01, and a translation uniform over those that keep the
    box in the image.

    Args:
        labels: Labels of the original images, (N,).
        per_class: Number of images to generate per class, (C,).
        seed: Seed of the run.
    """

    def __init__(self, labels: Tensor, per_class: Sequence[int], *, seed: int) -> None:
        self.per_class = list(per_class)
        self.seed = seed
        self._ends = np.cumsum(self.per_class)
        sizes = torch.bincount(labels, minlength=len(self.per_class)).tolist()
        self._members = labels.argsort(stable=True).split(sizes)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, k: int) -> PlannedImage:
        label = int(np.searchsorted(self._ends, k, side="right"))
        members = self._members[label]
        member, operation, angle, scale, down, right = torch.rand(
            6, dtype=torch.float64, generator=generator(self.seed, GENERATION, k)
        ).tolist()
        name = tuple(OPERATIONS)[int(operation * len(OPERATIONS))]
        transform = Transform(name, int(angle * 90) - 45, (80 + int(scale * 40)) / 100, down, right)
        return PlannedImage(label, int(members[int(member * len(members))]), transform)

    def view_generator(self, k: int) -> torch.Generator:
        """Return the generator for the augmented view of image k, for maps that are computed on one."""
        return generator(self.seed, GENERATION, k, 1)
