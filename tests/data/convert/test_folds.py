"""Cross-validation folds, and groups of images that are held out together."""

import logging
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from longtail.data.convert.folds import fold_numbers
from longtail.data.convert.groups import groups_of, place_groups
from longtail.data.convert.hold_out import HoldOut, divide
from longtail.data.convert.split import Split
from longtail.errors import UserError

COUNTS = [40, 17, 9, 5, 2]


def split_of(counts: list[int] = COUNTS, groups: Any = None) -> Split:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    random.Random(0).shuffle(labels)
    paths = [f"{index}.png" for index in range(len(labels))]
    return Split(paths, labels, num_classes=len(counts), classes=[*"abcdefgh"][: len(counts)], groups=groups)


def grouped(seed: int = 0, number: int = 20, counts: list[int] = COUNTS) -> Split:
    """Return a split whose images belong to one of `number` groups, of several classes each."""
    draw = random.Random(seed)
    return split_of(counts, [f"camera {draw.randrange(number)}" for _ in range(sum(counts))])


def table(split: Split, numbers: np.ndarray, folds: int) -> np.ndarray:
    """Return the images of each class in each fold, (folds + 1, C); row 0: images in no fold."""
    counts = np.zeros((folds + 1, split.num_classes), dtype=int)
    for label, fold in zip(split.labels, numbers, strict=True):
        counts[fold, label] += 1
    return counts


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("seed", [0, 1])
def test_fold_numbers_are_stratified_and_even(folds: int, seed: int) -> None:
    split = split_of()
    counts = table(split, fold_numbers(split, folds, keep=1, seed=seed), folds)
    assert counts[0].sum() == 0
    assert (counts[1:].max(0) - counts[1:].min(0) <= 1).all()
    sizes = counts[1:].sum(1)
    assert sizes.max() - sizes.min() <= 1


def test_fold_numbers_follow_the_seed() -> None:
    first, again, other = (fold_numbers(split_of(), 5, keep=1, seed=seed) for seed in (3, 3, 4))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("split", [split_of(), grouped()], ids=["images", "groups"])
def test_every_image_is_validated_in_exactly_one_fold(split: Split) -> None:
    parts = [divide(split, HoldOut(0.2, seed=7, folds=5, fold=fold)) for fold in range(1, 6)]
    assert sorted(path for part in parts for path in part.valid.paths) == sorted(split.paths)
    for part in parts:
        assert set(part.train.paths) | set(part.valid.paths) == set(split.paths)
        assert not set(part.train.paths) & set(part.valid.paths)
        assert part.test is None and min(part.train.class_counts()) >= 1


@pytest.mark.parametrize("split", [split_of(), grouped()], ids=["images", "groups"])
def test_divide_into_folds_follows_the_seed(split: Split) -> None:
    first, again, other = (divide(split, HoldOut(0.2, seed=seed, folds=5)).valid.paths for seed in (3, 3, 4))
    assert first == again and first != other


@pytest.mark.parametrize("rule", [HoldOut(0.2, 0.2), HoldOut(0.2, folds=3)], ids=["hold_out", "folds"])
def test_divide_keeps_what_belongs_to_an_image(rule: HoldOut) -> None:
    plain = grouped()
    numbers = range(len(plain.labels))
    more = {"sizes": [(8, number) for number in numbers], "weights": [number / 2 for number in numbers]}
    whole = Split(**{**vars(plain), **more})
    for part in filter(None, divide(whole, rule)):
        places = [whole.paths.index(path) for path in part.paths]
        for name in ("labels", "sizes", "weights", "groups"):
            assert getattr(part, name) == [getattr(whole, name)[place] for place in places]


def test_folds_leave_the_same_test_images_out() -> None:
    split = split_of(COUNTS[:4])
    parts = [divide(split, HoldOut(0.2, 0.25, seed=7, folds=3, fold=fold)) for fold in (1, 2, 3)]
    tests = [part.test.paths for part in parts if part.test]
    assert tests[0] == tests[1] == tests[2] and len(tests[0]) > 10
    validated = [path for part in parts for path in part.valid.paths]
    assert sorted([*validated, *tests[0]]) == sorted(split.paths)
    assert tests[0] == divide(split, HoldOut(0, 0.25, seed=7)).test.paths  # type: ignore[union-attr]


@pytest.mark.parametrize("keep", [1, 3])
def test_classes_too_small_for_folds_stay_and_are_named(keep: int, caplog: pytest.LogCaptureFixture) -> None:
    split = split_of([30, 1, 4])
    with caplog.at_level(logging.WARNING):
        counts = table(split, fold_numbers(split, 3, keep=keep, seed=0), 3)
    assert counts[0].tolist() == ([0, 1, 0] if keep == 1 else [0, 1, 4])
    assert (counts.sum(0) - counts[1:].max(0) >= [keep, 1, keep]).all()
    named = "'b' (1)" if keep == 1 else "'b' (1), 'c' (4)"
    assert caplog.messages[-1].endswith(f"because otherwise fewer than {keep} would be left: {named}")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("folds", [2, 4])
def test_folds_never_split_a_group(seed: int, folds: int) -> None:
    split = grouped(seed)
    numbers = fold_numbers(split, folds, keep=1, seed=seed)
    assert split.groups is not None
    for name in set(split.groups):
        assert len({fold for group, fold in zip(split.groups, numbers, strict=True) if group == name}) == 1
    counts = table(split, numbers, folds)
    assert (counts.sum(0) - counts[1:].max(0) >= 1).all()


def test_folds_of_groups_are_stratified() -> None:
    """Small groups: the images of a class in a fold are within a few of an even part."""
    split = grouped(number=150, counts=[300, 120, 40, 20])
    counts = table(split, fold_numbers(split, 5, keep=1, seed=0), 5)[1:]
    assert (np.abs(counts - np.array([60, 24, 8, 4])) <= [8, 5, 3, 2]).all()


def test_a_group_with_all_images_of_a_class_stays_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    groups = [f"{index}" for index in range(20)]
    split = Split(
        [f"{index}.png" for index in range(20)], [0] * 17 + [1] * 3, num_classes=2, classes=["a", "b"], groups=groups
    )
    together = [*groups[:16], "x", "x", "x", "x"]  # one image of a, and all of b
    with caplog.at_level(logging.WARNING):
        numbers = fold_numbers(Split(**{**vars(split), "groups": together}), 2, keep=1, seed=0)
    assert numbers.tolist().count(0) == 4 and set(numbers[16:]) == {0}
    assert caplog.messages[-1].endswith("because otherwise fewer than 1 would be left: 'a' (1), 'b' (3)")


@pytest.mark.parametrize("seed", range(4))
def test_hold_out_never_splits_a_group(seed: int) -> None:
    split = grouped(seed, number=25, counts=[100, 40, 20, 10])
    parts = divide(split, HoldOut(0.2, 0.2, keep=2, seed=seed))
    assert parts.test is not None
    groups = [set(part.groups or ()) for part in (parts.train, parts.valid, parts.test)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert set().union(*groups) == set(split.groups or ())
    assert min(parts.train.class_counts()) >= 2
    for part in (parts.valid, parts.test):
        assert 20 <= len(part.labels) <= 50  # of 170
        assert np.abs(np.array(part.class_counts()) / [100, 40, 20, 10] - 0.2).max() <= 0.2
    again = divide(split, HoldOut(0.2, 0.2, keep=2, seed=seed))
    assert again == parts and divide(split, HoldOut(0.2, 0.2, keep=2, seed=seed + 9)) != parts


def test_images_with_an_empty_group_are_groups_of_their_own() -> None:
    split = Split(["0", "1", "2", "3"], [0, 1, 0, 1], num_classes=2, groups=["", "x", "", "x"])
    assert [group.indices.tolist() for group in groups_of(split)] == [[0], [1, 3], [2]]


def test_place_groups_matches_loop() -> None:
    """Every group is put into the fold with the smallest sum of squares, computed over all folds and classes."""
    split = grouped(number=12)
    groups, sizes = groups_of(split), np.array(COUNTS)
    wanted = np.array([sizes * 0.2, sizes * 0.1])
    result = place_groups(groups, wanted, sizes=sizes, keep=1, seed=3)
    placed, expected = np.zeros((2, 5)), [-1] * len(groups)
    for number in np.random.default_rng(3).permutation(len(groups)):
        counts = np.zeros(5)
        for index in groups[number].indices:
            counts[split.labels[index]] += 1
        options = {-1: placed}
        for part in (0, 1):
            options[part] = placed.copy()
            options[part][part] += counts
            if (sizes - options[part].sum(0) < 1).any():
                del options[part]
        costs = {part: (((after - wanted) / sizes) ** 2).sum() for part, after in options.items()}
        best = min(costs, key=lambda part: (round(costs[part], 12), part))
        expected[number], placed = best, options[best]
    assert result.tolist() == expected
    assert Counter(expected)[0] and Counter(expected)[1]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (HoldOut(0.2, folds=1), r"^fold 1 of 1 does not exist; DATASET.HOLD_OUT.FOLDS must be at least 2"),
        (HoldOut(0.2, folds=3, fold=4), r"^fold 4 of 3 does not exist; .* and FOLD between 1 and FOLDS$"),
    ],
)
def test_wrong_folds_are_refused(rule: HoldOut, message: str) -> None:
    with pytest.raises(UserError, match=message):
        divide(split_of(), rule)


@pytest.mark.parametrize("rule", [HoldOut(0.2), HoldOut(0.2, folds=2)], ids=["hold_out", "folds"])
def test_one_group_of_all_images_is_refused(rule: HoldOut) -> None:
    with pytest.raises(UserError, match=r"^no group of images can be held out .*; there are 1 groups of 73 images$"):
        divide(split_of(groups=["x"] * 73), rule)
