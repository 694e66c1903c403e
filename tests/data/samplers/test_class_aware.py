"""Class-aware sampling: the released order, and properties of every order."""

import random
from typing import Any

import pytest
import torch

from longtail.config import load_config
from longtail.data import ImageSet, build_sampler
from longtail.data.samplers.class_aware import ClassAware, class_aware_order
from tests.helpers.golden import record, tensor

COUNTS = [13, 8, 3, 1, 6]
LABELS = torch.repeat_interleave(torch.arange(5), torch.tensor(COUNTS))[
    torch.randperm(31, generator=torch.Generator().manual_seed(0))
]
RECORDED = [case for case in record("sbcl_stage2")["cases"] if case["kind"] == "class_aware_sampler"]
assert len(RECORDED) == 3


class Cycle:
    """Items in an order that Python's generator shuffles again whenever all have been taken."""

    def __init__(self, items: Any) -> None:
        self.items = list(items)
        self.taken = len(self.items)

    def take(self) -> Any:
        if self.taken == len(self.items):
            random.shuffle(self.items)
            self.taken = 0
        self.taken += 1
        return self.items[self.taken - 1]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["id"])
def test_class_aware_order_is_the_released_one(case: Any) -> None:
    labels = tensor("sbcl_stage2", f"{case['id']}.labels")
    size, length = case["num_samples_cls"], case["length"]
    classes = Cycle(range(len(case["class_counts"])))
    images = [Cycle(torch.nonzero(labels == label).flatten().tolist()) for label in range(len(case["class_counts"]))]
    random.seed(case["python_random_seed"])
    for name in ("indices", "indices_of_next_epoch"):
        groups: list[int] = []
        drawn: list[list[int]] = [[] for _ in images]
        for _ in range(-(-length // size)):
            groups.append(classes.take())
            drawn[groups[-1]] += [images[groups[-1]].take() for _ in range(size)]
        order = class_aware_order(torch.tensor(groups), [torch.tensor(one, dtype=torch.int64) for one in drawn])
        assert torch.equal(order[:length], tensor("sbcl_stage2", f"{case['id']}.{name}"))
    assert ClassAware(labels, 0, per_class=size).length == length


@pytest.mark.parametrize("per_class", [1, 3, 4])
@pytest.mark.parametrize("epoch", [1, 2, 7])
def test_groups_hold_one_class_and_every_class_has_its_turn_before_one_has_two(per_class: Any, epoch: Any) -> None:
    sampler = ClassAware(LABELS, seed=3, per_class=per_class)
    order = sampler.indices(epoch)
    assert order.dtype == torch.int64
    assert len(order) == sampler.length == 13 * 5
    groups = [LABELS[group].tolist() for group in order.split(per_class)]
    assert all(len(set(group)) == 1 for group in groups)
    turns = [group[0] for group in groups]
    first = (epoch - 1) * len(groups) % 5  # turns that an unfinished round of the classes had before this epoch
    for start in range((5 - first) % 5, len(turns) - 4, 5):
        assert set(turns[start : start + 5]) == {0, 1, 2, 3, 4}


def test_every_image_of_a_class_is_taken_before_one_is_taken_again() -> None:
    sampler = ClassAware(LABELS, seed=3, per_class=4, length=60)  # whole groups: nothing is cut
    order = torch.cat([sampler.indices(epoch) for epoch in range(1, 9)])
    for label, count in enumerate(COUNTS):
        shown = order[LABELS[order] == label]
        rounds = shown[: len(shown) // count * count].view(-1, count)
        members = torch.where(LABELS.eq(label))[0]
        assert (rounds.sort(dim=1).values == members).all()
        assert count < 3 or len(rounds.unique(dim=0)) > 1  # shuffled again


@pytest.mark.parametrize("length", [20, 60])
def test_an_epoch_starts_where_the_one_before_it_stopped(length: Any) -> None:
    short, long = ClassAware(LABELS, 3, length=length), ClassAware(LABELS, 3, length=3 * length)
    assert torch.equal(torch.cat([short.indices(epoch) for epoch in (1, 2, 3)]), long.indices(1))


def test_the_images_of_a_cut_group_count_as_taken() -> None:
    cut, whole = ClassAware(LABELS, 3, length=18), ClassAware(LABELS, 3, length=20)
    assert torch.equal(cut.indices(2), whole.indices(2)[:18])


def test_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    def draw(seed: Any, epoch: Any) -> Any:
        return ClassAware(LABELS, seed).indices(epoch)

    sampler = ClassAware(LABELS, 0)
    assert torch.equal(sampler.indices(3), sampler.indices(3))
    assert torch.equal(sampler.indices(3), draw(0, 3))
    assert len({tuple(draw(seed, epoch).tolist()) for seed in (0, 1) for epoch in (1, 2, 3)}) == 6
    before = torch.get_rng_state()
    draw(0, 1)
    assert torch.equal(before, torch.get_rng_state())


def test_classes_of_equal_size_are_shuffled_independently() -> None:
    labels = torch.arange(40) // 20
    order = ClassAware(labels, 0, per_class=1).indices(1)
    first, second = (order[labels[order] == label] % 20 for label in (0, 1))
    assert not torch.equal(first, second)


def test_classes_and_their_images_are_shuffled_independently() -> None:
    labels = torch.arange(400) // 20
    order = ClassAware(labels, 0, per_class=1).indices(1)
    classes = labels[order[:20]]
    for label in range(20):
        assert not torch.equal(order[labels[order] == label][:20] % 20, classes)


@pytest.mark.slow
def test_all_orders_of_classes_and_images_are_as_likely() -> None:
    labels = torch.tensor([0, 1, 1, 1])
    firsts = torch.zeros(2, 4)
    for seed in range(2000):
        order = ClassAware(labels, seed, per_class=1).indices(1)
        firsts[0, order[0]] += 1
        firsts[1, order[labels[order] == 1][0]] += 1
    assert (firsts[0, 0] - 1000).abs() < 4 * 500**0.5
    assert (firsts[1, 1:] - 2000 / 3).abs().max() < 4 * (2000 * 2 / 9) ** 0.5


def test_classes_without_images_are_omitted() -> None:
    labels = torch.tensor([4, 1, 4, 4, 1])
    order = ClassAware(labels, 0, per_class=2).indices(1)
    assert len(order) == 3 * 2
    assert set(labels[order].tolist()) == {1, 4}


def test_shown_classes_differ_by_at_most_one_group() -> None:
    counts = torch.bincount(LABELS[ClassAware(LABELS, 0, length=400).indices(5)])
    assert counts.max() - counts.min() <= 4


CLASS_AWARE = "TRAIN.SAMPLER.CLASS_AWARE"


@pytest.mark.parametrize(
    ("overrides", "length", "group"),
    [([], 65, 4), ([f"{CLASS_AWARE}.LENGTH", "images", f"{CLASS_AWARE}.PER_CLASS", 2], 31, 2)],
)
def test_class_aware_is_built_from_the_config(overrides: list[Any], length: int, group: int) -> None:
    labels = torch.cat([LABELS, torch.zeros(6, dtype=torch.int64)])  # the last six are generated
    images = ImageSet("set", labels, num_classes=5, load=lambda: torch.empty(0), num_generated=6)
    sampler = build_sampler(load_config(None, ["TRAIN.SAMPLER.TYPE", "class-aware sampler", *overrides]), images)
    order = sampler.indices(1)
    assert len(order) == sampler.length == length
    assert int(order.max()) < len(LABELS)
    assert all(len(set(part.tolist())) == 1 for part in LABELS[order].split(group))
    assert str(sampler) == f"class-aware, {group} consecutive images per class"
