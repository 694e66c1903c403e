"""Choosing the images of a split: holding out validation and test images, and making a split long-tailed."""

import logging
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from longtail.data.convert.folds import fold_numbers
from longtail.data.convert.groups import groups_of, place_groups
from longtail.data.convert.split import Split
from longtail.data.long_tail import class_counts, select_indices
from longtail.errors import UserError

logger = logging.getLogger(__name__)

SHOWN = 10  # classes named in a message


@dataclass(frozen=True)
class HoldOut:
    """How many images of each class are held out.

    Attributes:
        valid: Validation images of each class: a value of 1 or more is their largest number, a value below 1 is the
            fraction of the class; 0: none.
        test: Test images of each class, in the same way.
        keep: Smallest number of training images that each class keeps.
        seed: Seed of the choice.
        folds: Number of folds of a cross-validation; 0: none. The validation images are then those of one fold, and
            `valid` is not used.
        fold: Fold of the validation images, from 1.
    """

    valid: float
    test: float = 0
    keep: int = 1
    seed: int = 0
    folds: int = 0
    fold: int = 1


class Parts(NamedTuple):
    """The parts of a divided split; `test` is None if no test images were asked for."""

    train: Split
    valid: Split
    test: Split | None


def divide(split: Split, rule: HoldOut) -> Parts:
    """Hold out images of each class, chosen by a seed.

    Of a class of n images, min(number, n - keep) become validation images; then test images are chosen from the rest by
    the same rule. A fraction holds out at least one image if the class can spare it. Classes with fewer held-out images
    than asked for are named in the log. If the split has groups, whole groups are held out, as close to these numbers
    as possible (see `place_groups`). With folds, the validation images are one fold of the images that are not test
    images (see `fold_numbers`).

    Raises:
        UserError: A number of the rule is out of range, or no group or test image can be held out.
    """
    check_rule(rule)
    held_out = _choose(split, replace(rule, valid=0) if rule.folds else rule)
    if rule.folds:
        rest = np.setdiff1d(np.arange(len(split.labels)), held_out["test"])
        folds = fold_numbers(subset(split, rest.tolist()), rule.folds, keep=rule.keep, seed=rule.seed)
        held_out["valid"] = rest[folds == rule.fold].tolist()
    if split.groups and (rule.folds or rule.valid) and not held_out["valid"]:
        raise UserError(
            f"no group of images can be held out such that every class keeps {rule.keep} images and the parts have "
            f"about the requested sizes; there are {len(set(split.groups)):,} groups of {len(split.labels):,} images"
        )
    if rule.test and not held_out["test"]:
        raise UserError(
            f"no {'group of images' if split.groups else 'image'} can be held out for testing: each class keeps "
            f"{rule.keep} training images, and the validation images come first; set DATASET.HOLD_OUT.TEST to 0"
        )
    rest = np.setdiff1d(np.arange(len(split.labels)), held_out["valid"] + held_out["test"])
    return Parts(
        subset(split, rest.tolist()),
        replace(subset(split, held_out["valid"]), held_out=True),
        replace(subset(split, held_out["test"]), held_out=True) if rule.test else None,
    )


def check_rule(rule: HoldOut) -> None:
    """Refuse numbers that are out of range.

    Raises:
        UserError: One is.
    """
    for name, number in (("validation", rule.valid), ("test", rule.test)):
        if not 0 <= number < 1 and number != int(number):
            raise UserError(
                f"the number of {name} images of each class is {number:g}; it must be a whole number, or a fraction "
                "below 1"
            )
    if rule.keep < 1:
        raise UserError(f"the number of training images that each class keeps is {rule.keep}; it must be 1 or more")
    if rule.folds == 1 or rule.fold > max(rule.folds, 1):
        raise UserError(
            f"fold {rule.fold} of {rule.folds} does not exist; DATASET.HOLD_OUT.FOLDS must be at least 2, or 0 for no "
            "folds, and FOLD between 1 and FOLDS"
        )
    check_seed(rule.seed)


def _choose(split: Split, rule: HoldOut) -> dict[str, list[int]]:
    """Return the indices of the "valid" and "test" images, and warn about small classes."""
    counts = split.class_counts()
    valid = [_held_out(count, count - rule.keep, number=rule.valid) for count in counts]
    test = [
        _held_out(count, count - rule.keep - taken, number=rule.test)
        for count, taken in zip(counts, valid, strict=True)
    ]
    parts = (_by_group if split.groups else _by_image)(split, valid, test, rule)
    for name, key, number in (("validation", "valid", rule.valid), ("test", "test", rule.test)):
        if number:
            held_out = np.bincount(np.asarray(split.labels)[parts[key]], minlength=len(counts)).tolist()
            _log_small_classes(split, name, held_out=held_out, number=number)
    return parts


def _by_image(split: Split, valid: Sequence[int], test: Sequence[int], rule: HoldOut) -> dict[str, list[int]]:
    """Return the indices of numbers of images of each class, see `_choose`."""
    chosen = select_indices(split.labels, [sum(pair) for pair in zip(valid, test, strict=True)], rule.seed)
    parts: dict[str, list[int]] = {"valid": [], "test": []}
    start = 0
    for of_valid, of_test in zip(valid, test, strict=True):
        parts["valid"] += chosen[start : start + of_valid]
        parts["test"] += chosen[start + of_valid : start + of_valid + of_test]
        start += of_valid + of_test
    return parts


def _by_group(split: Split, valid: Sequence[int], test: Sequence[int], rule: HoldOut) -> dict[str, list[int]]:
    """Return the indices of whole groups with about these numbers of images of each class, see `_choose`."""
    groups, sizes = groups_of(split), np.array(split.class_counts())
    places = place_groups(groups, np.array([valid, test]), sizes=sizes, keep=rule.keep, seed=rule.seed)
    return {
        name: sorted(
            int(index)
            for group, place in zip(groups, places, strict=True)
            if place == number
            for index in group.indices
        )
        for number, name in enumerate(("valid", "test"))
    }


def make_long_tailed(split: Split, imbalance_factor: float, *, seed: int) -> Split:
    """Make a split long-tailed: n_i = int(n * f^(-i / (C - 1))), with the largest n for which no class is too small.

    Args:
        split: The split.
        imbalance_factor: Imbalance factor f: largest / smallest class.
        seed: Seed of the choice of images that are kept.

    Raises:
        UserError: The factor is below 1 or not finite, or a class would keep no image.
    """
    check_factor(imbalance_factor)
    check_seed(seed)
    available = split.class_counts()

    def counts(largest: int) -> list[int]:
        return class_counts(largest, split.num_classes, 1 / imbalance_factor)

    def too_many(largest: int) -> bool:
        return any(wanted > count for wanted, count in zip(counts(largest), available, strict=True))

    largest = bisect_right(range(1, max(available) + 1), False, key=too_many)
    kept = counts(largest) if largest else [0]
    if min(kept) == 0:
        raise UserError(
            f"the imbalance factor {imbalance_factor:g} leaves class {_class_name(split, kept.index(0))} without "
            f"images; the largest class can have {largest}, so the factor can be at most {largest}"
        )
    return subset(split, select_indices(split.labels, kept, seed))


def check_factor(imbalance_factor: float) -> None:
    """Check an imbalance factor.

    Raises:
        UserError: It is below 1 or not finite.
    """
    if not 1 <= imbalance_factor < math.inf:
        raise UserError(f"the imbalance factor is {imbalance_factor:g}; it must be 1 or more")


def check_seed(seed: int) -> None:
    """Check a seed of NumPy's legacy generator.

    Raises:
        UserError: It is out of range.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"the seed is {seed}; it must be 0 to {2**32 - 1}")


def subset(split: Split, indices: Sequence[int]) -> Split:
    """Return the images of a split with the given indices."""
    return Split(
        [split.paths[index] for index in indices],
        [split.labels[index] for index in indices],
        num_classes=split.num_classes,
        sizes=None if split.sizes is None else [split.sizes[index] for index in indices],
        classes=split.classes,
        source_labels=split.source_labels,
        groups=None if split.groups is None else [split.groups[index] for index in indices],
        weights=None if split.weights is None else [split.weights[index] for index in indices],
    )


def _held_out(count: int, available: int, *, number: float) -> int:
    """Return how many of the images of a class are held out."""
    wanted = int(number) if number >= 1 or number == 0 else max(round(number * count), 1)
    return max(min(wanted, available), 0)


def _log_small_classes(split: Split, name: str, *, held_out: Sequence[int], number: float) -> None:
    """Warn about classes with fewer held-out images than asked for."""
    small = [label for label, taken in enumerate(held_out) if taken < max(int(number), 1)]
    if small:
        asked = f"{int(number)} " if number >= 1 else ""
        shown = ", ".join(f"{_class_name(split, label)} ({held_out[label]})" for label in small[:SHOWN])
        more = ", ..." if len(small) > SHOWN else ""
        logger.warning(
            "  WARNING: %d classes are too small for %s%s images and have fewer: %s%s",
            len(small),
            asked,
            name,
            shown,
            more,
        )


def _class_name(split: Split, label: int) -> str:
    return repr(split.classes[label]) if split.classes else str(label)
