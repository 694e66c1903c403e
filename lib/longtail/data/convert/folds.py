"""Cross-validation: dividing a split into folds, of which each is the validation split of one training."""

import logging

import numpy as np

from longtail.data.convert.groups import groups_of, place_groups
from longtail.data.convert.split import Split

logger = logging.getLogger(__name__)

SHOWN = 10  # classes named in a message


def fold_numbers(split: Split, folds: int, *, keep: int, seed: int) -> np.ndarray:
    """Return the fold of each image, from 1, (N,); 0: it is a training image in every fold.

    The folds are stratified: without groups they differ by at most one image of a class, and in their sizes by at most
    one image; groups are never divided (see `place_groups`). Images are in no fold if a class would keep fewer than
    `keep` training images without them; the log names their classes.

    Args:
        split: Images; its groups stay together if it has any.
        folds: Number of folds, at least 2.
        keep: Images of each class that stay training images in every fold.
        seed: Seed of the division.
    """
    result = _by_group(split, folds, keep=keep, seed=seed) if split.groups else _by_image(split, folds, keep, seed)
    left = np.bincount(np.asarray(split.labels)[result == 0], minlength=split.num_classes)
    small = np.flatnonzero(left)
    if len(small):
        names = [repr(split.classes[label]) if split.classes else str(label) for label in small[:SHOWN]]
        shown = ", ".join(f"{name} ({left[label]})" for name, label in zip(names, small, strict=False))
        logger.warning(
            "  WARNING: %d classes have images that are training images in all %d folds, because otherwise fewer than "
            "%d would be left: %s%s",
            *(len(small), folds, keep, shown, ", ..." if len(small) > SHOWN else ""),
        )
    return result


def _by_image(split: Split, folds: int, keep: int, seed: int) -> np.ndarray:
    """Deal the shuffled images of each class to the folds in turn."""
    random = np.random.default_rng(seed)
    counts = split.class_counts()
    members = np.split(np.argsort(split.labels, kind="stable"), np.cumsum(counts)[:-1])
    result = np.zeros(len(split.labels), dtype=np.int64)
    start = 0
    for indices in members:
        number = len(indices)
        if number - -(-number // folds) >= keep:
            result[random.permutation(indices)] = (start + np.arange(number)) % folds + 1
            start = (start + number) % folds
    return result


def _by_group(split: Split, folds: int, *, keep: int, seed: int) -> np.ndarray:
    groups, sizes = groups_of(split), np.array(split.class_counts())
    wanted = np.broadcast_to(sizes / folds, (folds, len(sizes)))
    parts = place_groups(groups, wanted, sizes=sizes, keep=keep, seed=seed, folds=True)
    result = np.zeros(len(split.labels), dtype=np.int64)
    for group, part in zip(groups, parts, strict=True):
        result[group.indices] = part + 1
    return result
