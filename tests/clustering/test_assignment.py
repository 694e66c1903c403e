"""The assignment rules for many classes at once, against the definition, pair by pair."""

from typing import Any

import naive_clustering as naive
import pytest
import torch

from longtail.clustering.assignment import balanced, best_first, capped, nearest

SIZES, NUMBERS = torch.tensor([17, 23, 8, 30, 5]), torch.tensor([4, 3, 8, 7, 2])
RULES = {"nearest": (nearest, naive.nearest), "capped": (capped, naive.capped), "balanced": (balanced, naive.balanced)}


def padded_cosines(seed: Any, low: Any = -1.0) -> Any:
    """Random cosines (G, S, M) of classes of several sizes, -inf in padding."""
    random = torch.Generator().manual_seed(seed)
    samples, clusters = int(SIZES.max()), int(NUMBERS.max())
    cosines = low + (1 - low) * torch.rand(len(SIZES), samples, clusters, generator=random)
    real = (torch.arange(samples) < SIZES[:, None])[:, :, None] & (torch.arange(clusters) < NUMBERS[:, None])[:, None]
    return cosines.masked_fill(~real, -torch.inf)


def inside(values: Any, group: Any) -> Any:
    return values[group, : SIZES[group]]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("low", [-1.0, 0.0])
@pytest.mark.parametrize("seed", range(5))
def test_rules_agree_with_loops_in_every_class(name: Any, low: Any, seed: Any) -> None:
    rule, by_loops = RULES[name]
    cosines = padded_cosines(seed, low)
    found = rule(cosines, SIZES, NUMBERS)
    for group, number in enumerate(NUMBERS.tolist()):
        expected = by_loops(inside(cosines, group)[:, :number].double().numpy())
        assert inside(found, group).tolist() == expected.tolist()


@pytest.mark.parametrize("cap", [1, 3, 50])
@pytest.mark.parametrize("seed", range(5))
def test_best_first_agrees_with_sorted_pairs(cap: Any, seed: Any) -> None:
    scores = padded_cosines(seed)
    scores[0, 3] = -torch.inf  # a sample that may have no cluster
    found = best_first(scores, torch.full_like(SIZES, cap))
    for group, number in enumerate(NUMBERS.tolist()):
        expected = naive.greedy(inside(scores, group)[:, :number].double().numpy(), [cap] * number)
        assert inside(found, group).tolist() == expected.tolist()


def test_best_first_breaks_ties_by_the_lower_number() -> None:
    scores = torch.randint(3, (4, 20, 5), generator=torch.Generator().manual_seed(0)).float()
    found = best_first(scores, torch.tensor([4, 5, 3, 20]))
    for group, cap in enumerate([4, 5, 3, 20]):
        assert found[group].tolist() == naive.greedy(scores[group].numpy(), [cap] * 5).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_capped_sizes_are_within_the_cap_and_balanced_sizes_differ_by_at_most_one(seed: Any) -> None:
    cosines = padded_cosines(seed)
    groups = list(zip(SIZES.tolist(), NUMBERS.tolist(), strict=True))
    for group, (size, number) in enumerate(groups):
        in_capped = torch.bincount(inside(capped(cosines, SIZES, NUMBERS), group), minlength=number)
        in_balanced = torch.bincount(inside(balanced(cosines, SIZES, NUMBERS), group), minlength=number)
        assert in_capped.sum() == in_balanced.sum() == size
        assert in_capped.max() <= -(-size // number)
        assert in_balanced.max() - in_balanced.min() <= 1
        assert len(in_capped) == len(in_balanced) == number


def test_a_class_of_equal_samples_fills_cluster_after_cluster() -> None:
    cosines = torch.ones(1, 10, 4)
    assert capped(cosines, torch.tensor([10]), torch.tensor([4]))[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
