"""All classes at once: numbers, caps, seeds, orders."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from longtail.clustering import cluster_classes, subclass_numbers, subclasses
from longtail.errors import UserError

COUNTS = [120, 80, 83, 9, 41, 17, 6]
RULES = ["capped", "kmeans", "balanced"]


def long_tailed(counts: Any = COUNTS, width: Any = 8, seed: Any = 0) -> Any:
    random = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    centers = torch.randn(len(counts), width, generator=random)
    return F.normalize(centers[labels] + torch.randn(len(labels), width, generator=random), dim=1), labels


@pytest.mark.parametrize(
    ("counts", "delta", "expected"),
    [([30, 20, 10], 10, [3, 2, 1]), ([9, 7, 3], 10, [1, 1, 1]), ([100, 50, 25], 1, [4, 2, 1]), ([39, 0], 10, [3, 1])],
)
def test_subclass_numbers_worked_examples(counts: Any, delta: Any, expected: Any) -> None:
    assert subclass_numbers(counts, delta) == expected


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_subclasses_are_numbered_class_after_class(rule: Any) -> None:
    features, labels = long_tailed()
    numbers = subclass_numbers(COUNTS, 8)
    assert numbers == [15, 10, 10, 1, 5, 2, 1]
    found = cluster_classes(features, labels, numbers, rule=rule)
    owner = torch.repeat_interleave(torch.arange(len(COUNTS)), torch.tensor(numbers))
    assert found.dtype == torch.int64
    assert torch.equal(owner[found], labels)
    assert torch.equal(found.unique(), torch.arange(sum(numbers)))  # none is empty


@pytest.mark.parametrize("seed", range(3))
def test_no_capped_subclass_holds_more_than_its_cap(seed: Any) -> None:
    features, labels = long_tailed(seed=seed)
    numbers = subclass_numbers(COUNTS, 8)
    sizes = torch.bincount(cluster_classes(features, labels, numbers, seed=seed), minlength=sum(numbers))
    caps = [-(-count // number) for count, number in zip(COUNTS, numbers, strict=True) for _ in range(number)]
    assert (sizes <= torch.tensor(caps)).all()
    plain = torch.bincount(cluster_classes(features, labels, numbers, rule="kmeans", seed=seed))
    assert (plain > torch.tensor(caps)).any()


@pytest.mark.slow
def test_balanced_subclasses_of_a_class_differ_by_at_most_one() -> None:
    features, labels = long_tailed()
    numbers = subclass_numbers(COUNTS, 8)
    sizes = torch.bincount(cluster_classes(features, labels, numbers, rule="balanced"))
    for of_class in sizes.split(numbers):
        assert of_class.max() - of_class.min() <= 1


@pytest.mark.parametrize("rule", RULES)
def test_planted_subclasses_are_found(rule: Any) -> None:
    random = torch.Generator().manual_seed(0)
    planted = torch.arange(6).repeat_interleave(torch.tensor([40, 40, 40, 20, 20, 20]))
    features = F.normalize(torch.eye(6)[planted] + 0.05 * torch.randn(180, 6, generator=random), dim=1)

    def pairs(seed: Any) -> Any:
        found = cluster_classes(features, planted // 3, [3, 3], rule=rule, seed=seed)
        return len(torch.stack([found, planted]).unique(dim=1).T)

    numbers = [pairs(seed) for seed in range(10)]
    assert min(numbers) == 6
    if rule != "kmeans":  # random starts miss some
        assert max(numbers) == 6


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_the_classes_among_the_samples_does_not_matter(rule: Any) -> None:
    features, labels = long_tailed()
    numbers = subclass_numbers(COUNTS, 8)
    found = cluster_classes(features, labels, numbers, rule=rule)
    time = torch.cat([torch.linspace(0.1 * label, 1, count) for label, count in enumerate(COUNTS)])
    order = time.argsort()  # mixes the classes, keeps the order inside each
    assert not torch.equal(labels[order], labels)
    assert torch.equal(cluster_classes(features[order], labels[order], numbers, rule=rule), found[order])


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_blocks_do_not_matter(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = long_tailed()
    numbers = subclass_numbers(COUNTS, 8)
    found = cluster_classes(features, labels, numbers, rule=rule)
    monkeypatch.setattr(subclasses, "ENTRIES", 1)  # every class alone
    assert torch.equal(cluster_classes(features, labels, numbers, rule=rule), found)
    monkeypatch.setattr(subclasses, "ENTRIES", 2**30)
    monkeypatch.setattr(subclasses, "SIMILAR", 1e9)  # all classes together
    assert torch.equal(cluster_classes(features, labels, numbers, rule=rule), found)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_subclasses_depend_on_the_seed_alone(rule: Any) -> None:
    features, labels = long_tailed()
    numbers = subclass_numbers(COUNTS, 8)
    first, again, other = (cluster_classes(features, labels, numbers, rule=rule, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    before = torch.get_rng_state()
    cluster_classes(features, labels, numbers, rule=rule)
    assert torch.equal(torch.get_rng_state(), before)


def test_capped_is_the_default() -> None:
    features, labels = long_tailed()
    numbers = subclass_numbers(COUNTS, 8)
    default, named = (
        cluster_classes(features, labels, numbers),
        cluster_classes(features, labels, numbers, rule="capped"),
    )
    assert torch.equal(default, named)


@pytest.mark.parametrize("rule", RULES)
def test_half_precision_features_and_classes_without_samples(rule: Any) -> None:
    features, labels = long_tailed([60, 0, 30])
    found = cluster_classes(features.bfloat16(), labels, [6, 1, 3], rule=rule)
    assert torch.equal(found[labels == 2].unique(), torch.tensor([7, 8, 9]))


def test_nothing_is_split() -> None:
    features, labels = long_tailed([5, 4])
    assert torch.equal(cluster_classes(features, labels, [1, 1]), labels)


@pytest.mark.parametrize("rule", RULES)
def test_equal_samples_are_clustered_within_the_caps(rule: Any) -> None:
    features, labels = torch.ones(30, 4), torch.zeros(30, dtype=torch.int64)
    found = cluster_classes(features, labels, [4], rule=rule)
    assert found.min() >= 0 and found.max() < 4
    if rule != "kmeans":
        assert torch.bincount(found).max() <= 8


def test_more_subclasses_than_samples_are_refused() -> None:
    features, labels = long_tailed([5, 4])
    with pytest.raises(ValueError, match="class 1 has 4 samples for 5 subclasses"):
        cluster_classes(features, labels, [1, 5])


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    features, labels = long_tailed([5, 4])
    with pytest.raises(UserError, match=r"unknown clustering rule 'k-means'.*did you mean kmeans"):
        cluster_classes(features, labels, [1, 1], rule="k-means")
