"""Many, medium and few: accuracy by the number of training images of the classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from longtail.evaluation.confusion import Integers
from longtail.evaluation.tallies import PerClass

MANY = 100
FEW = 20
GROUPS = ("many", "medium", "few")


def shot_groups(class_counts: Integers, many: int = MANY, few: int = FEW) -> dict[str, list[int]]:
    """Return the class ids of each shot group, in ascending order; a group may be empty.

    Args:
        class_counts: Training images per class, (C,).
        many: A class with at least this many training images belongs to "many".
        few: A class with at most this many belongs to "few"; classes in between are "medium".

    Returns:
        {"many": [...], "medium": [...], "few": [...]}

    Raises:
        ValueError: The thresholds overlap.
    """
    if few >= many:
        raise ValueError(f"the shot groups overlap: few is <= {few} and many is >= {many}")
    counts = np.array(counts_list(class_counts), dtype=np.int64)
    masks = {"many": counts >= many, "medium": (few < counts) & (counts < many), "few": counts <= few}
    return {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()}


def shot_accuracy(cm: PerClass, class_counts: Integers, many: int = MANY, few: int = FEW) -> dict[str, float | None]:
    """Return the accuracy over all samples and over the samples of each shot group.

    The accuracies are micro averages, correct samples / samples inside the group, as in NCL.

    Args:
        cm: The counted predictions over C classes.
        class_counts: (C,) training images per class.
        many: Smallest count of a "many" class.
        few: Largest count of a "few" class.

    Returns:
        {"all", "many", "medium", "few"}: fractions in [0, 1], None for a group without samples.

    Raises:
        ValueError: `class_counts` does not have C entries, or the thresholds overlap.
    """
    return accuracy_of_groups(cm.correct(), cm.support(), class_counts, many, few)


def accuracy_of_groups(
    correct: Sequence[int], support: Sequence[int], class_counts: Integers, many: int = MANY, few: int = FEW
) -> dict[str, float | None]:
    """Return the accuracies of `shot_accuracy` from the correct samples and all samples of each class, both (C,)."""
    counts = counts_list(class_counts, len(support))
    hits, samples = (np.array(values, dtype=np.int64) for values in (correct, support))
    members: dict[str, Any] = {"all": slice(None), **shot_groups(counts, many, few)}
    sums = {name: (int(hits[classes].sum()), int(samples[classes].sum())) for name, classes in members.items()}
    return {name: right / total if total else None for name, (right, total) in sums.items()}


def counts_list(class_counts: Integers, num_classes: int | None = None) -> list[int]:
    """Return class counts, given as a list, array or tensor (C,), as a list of C integers.

    Raises:
        ValueError: There are not `num_classes` of them, or one is negative.
    """
    counts: list[int] = np.asarray(torch.as_tensor(class_counts).cpu()).astype(np.int64).tolist()
    if num_classes is not None and len(counts) != num_classes:
        raise ValueError(f"{len(counts)} class counts for {num_classes} classes")
    if counts and min(counts) < 0:
        raise ValueError(f"a class cannot have {min(counts)} training images")
    return counts
