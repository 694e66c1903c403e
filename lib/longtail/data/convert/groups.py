"""Assigning whole groups of images, such as those of one patient or one camera, to the parts of a split."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from longtail.data.convert.split import Split

FOLDER = "folder"  # the value of a group key that means the folder of an image


class Group(NamedTuple):
    """The images of a group.

    Attributes:
        indices: Indices of its images in the split.
        classes: Ids of its classes, each once, (c,).
        counts: Images of each of these classes, (c,).
    """

    indices: np.ndarray
    classes: np.ndarray
    counts: np.ndarray


def parent_folders(paths: Sequence[str]) -> list[str]:
    """Return the folder of each image, as its group."""
    return [os.path.dirname(path) for path in paths]


def groups_of(split: Split) -> list[Group]:
    """Return the groups of a split in the order in which they appear; each image with the group '' is its own group."""
    assert split.groups is not None
    names = [name or f"\0{index}" for index, name in enumerate(split.groups)]
    number = {name: index for index, name in enumerate(dict.fromkeys(names))}
    of_image = np.array([number[name] for name in names])
    members = np.split(np.argsort(of_image, kind="stable"), np.cumsum(np.bincount(of_image))[:-1])
    labels = np.asarray(split.labels)
    return [Group(indices, *np.unique(labels[indices], return_counts=True)) for indices in members]


def place_groups(
    groups: Sequence[Group], wanted: np.ndarray, *, sizes: np.ndarray, keep: int, seed: int, folds: bool = False
) -> np.ndarray:
    """Assign groups to parts so that the parts have about the wanted number of images of each class.

    Each group is assigned to the part whose error decreases most, where the error is the sum over the classes of
    ((images placed - images wanted) / images of the class)^2. It stays outside if no error decreases (unless the parts
    are folds), or if a class would keep fewer than `keep` images for training. The order of the groups is random; for
    folds, larger groups come first, so that smaller ones even out the rest.

    Args:
        groups: The groups.
        wanted: Images of each class in each part, (P, C).
        sizes: Images of each class in all groups, (C,).
        keep: Images of each class that stay training images: outside of all parts, or of each single fold.
        seed: Seed of the order.
        folds: Whether the images of the other parts are training images too, and a group stays outside only for `keep`.

    Returns:
        Part of each group, (G,); -1: it stays outside.
    """
    order = np.random.default_rng(seed).permutation(len(groups))
    if folds:
        order = np.array(sorted(order, key=lambda index: -len(groups[index].indices)), dtype=np.int64)
    placed = np.zeros(wanted.shape)
    result = np.full(len(groups), -1)
    for number in order:
        classes, counts = groups[number].classes, groups[number].counts
        taken = placed[:, classes]
        missing = taken if folds else taken.sum(0, keepdims=True)
        spared = (sizes[classes] - missing - counts >= keep).all(1)
        change = (counts * (2 * (taken - wanted[:, classes]) + counts) / sizes[classes] ** 2).sum(1)
        change = np.where(spared, change, np.inf)
        best = int(change.argmin())
        if change[best] < (np.inf if folds else 0):
            placed[best, classes] += counts
            result[number] = best
    return result
