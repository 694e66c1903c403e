"""k-means from given starts against loops, starts, and centers that lose their members."""

from typing import Any

import naive_clustering as naive
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from longtail.clustering import balanced_kmeans, capped_kmeans, kmeans
from longtail.clustering.assignment import balanced, capped, nearest
from longtail.clustering.lloyd import Block, lloyd
from longtail.clustering.starts import far_apart, random_samples

RULES = {
    "kmeans": (kmeans, nearest, naive.nearest),
    "capped": (capped_kmeans, capped, naive.capped),
    "balanced": (balanced_kmeans, balanced, naive.balanced),
}
SIZES, NUMBERS = [40, 33, 25, 37], [5, 3, 2, 4]


def samples(size: Any, seed: Any = 0, width: Any = 6) -> Any:
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(size, width, generator=random) + 0.5, dim=1)


def padded_block() -> Any:
    classes = [samples(size, seed) for seed, size in enumerate(SIZES)]
    features = torch.zeros(len(SIZES), max(SIZES), 6)
    for group, rows in enumerate(classes):
        features[group, : len(rows)] = rows
    return Block(features, torch.tensor(SIZES), torch.tensor(NUMBERS)), classes


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_loops(name: Any, seed: Any) -> None:
    rule, _, by_loops = RULES[name]
    features, start = samples(50, seed), [3, 11, 19, 27, 42]
    found, centers, iterations = rule(features.double(), start)
    expected = naive.lloyd(features, start, by_loops, max_iterations=35 if name == "kmeans" else 50)
    assert found.tolist() == expected[0].tolist()
    np.testing.assert_allclose(centers, expected[1], rtol=1e-10)
    assert iterations == expected[2]


@pytest.mark.parametrize("tolerance", [1e-3, 0.3])
@pytest.mark.parametrize("name", RULES)
def test_classes_together_are_clustered_as_each_alone(name: Any, tolerance: Any) -> None:
    rule, assign, _ = RULES[name]
    block, classes = padded_block()
    start = random_samples(block, torch.rand(4, 40, generator=torch.Generator().manual_seed(1)))
    found, centers, iterations = lloyd(block, start, assign=assign, max_iterations=35, tolerance=tolerance)
    assert len(set(iterations.tolist())) > 1  # some classes stop before others
    for group, (rows, number) in enumerate(zip(classes, NUMBERS, strict=True)):
        alone = rule(rows, start[group, :number], 35, tolerance)
        assert torch.equal(found[group, : len(rows)], alone[0])
        torch.testing.assert_close(centers[group, :number], alone[1])
        assert iterations[group] == alone[2]


@pytest.mark.parametrize("tolerance", [0.003, 0.03, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_stops_when_the_square_of_the_summed_shifts_is_below_the_tolerance(seed: Any, tolerance: Any) -> None:
    features, start = samples(50, seed), [3, 11, 19, 27, 42]
    found, _, iterations = kmeans(features.double(), start, 35, tolerance)
    expected = naive.lloyd(features, start, naive.nearest, max_iterations=35, tolerance=tolerance)
    assert (found.tolist(), iterations) == (expected[0].tolist(), expected[2])


@pytest.mark.parametrize("name", RULES)
def test_one_cluster_holds_all_samples(name: Any) -> None:
    features = samples(9)
    found, centers, iterations = RULES[name][0](features, [4])
    assert not found.any()
    torch.testing.assert_close(centers[0], features.mean(0))
    assert iterations == 2


@pytest.mark.parametrize("name", RULES)
def test_as_many_clusters_as_samples(name: Any) -> None:
    found, _, iterations = RULES[name][0](samples(9), list(range(9)))
    assert found.tolist() == list(range(9))
    assert iterations == 1


@pytest.mark.parametrize("name", RULES)
def test_lengths_of_the_samples_do_not_change_the_first_assignment(name: Any) -> None:
    features, start = samples(50), [3, 11, 19, 27, 42]
    lengths = torch.linspace(0.5, 2, 50)[:, None]
    scaled, plain = (RULES[name][0](rows, start, 1)[0] for rows in (features * lengths, features))
    assert torch.equal(scaled, plain)


def test_start_may_be_a_list_or_an_array_or_a_tensor_of_any_integer() -> None:
    features, start = samples(20), [1, 5, 7]
    starts: list[Any] = [start, np.array(start), torch.tensor(start).int()]
    results = [kmeans(features, first)[0] for first in starts]
    assert all(torch.equal(found, results[0]) for found in results)


def with_equal_starts() -> Any:
    """Return twelve samples and three equal centers among four: plain k-means gives all their samples to the first."""
    return torch.cat([torch.eye(6)[[0, 0, 0, 1]], samples(8)]), [0, 1, 2, 3]


def test_a_center_without_members_moves_to_the_sample_that_is_least_like_its_own_center() -> None:
    features, start = with_equal_starts()
    found, centers, _ = kmeans(features.double(), start)
    expected = naive.lloyd(features, start, naive.nearest, max_iterations=35)
    assert found.tolist() == expected[0].tolist()
    np.testing.assert_allclose(centers, expected[1], rtol=1e-10)
    assert set(found.tolist()) == {0, 1, 2, 3}


def test_several_centers_without_members_move_to_different_samples() -> None:
    features, start = with_equal_starts()
    _, centers, _ = kmeans(features, start, max_iterations=1)
    assert any(torch.equal(centers[1], row) for row in features)
    assert any(torch.equal(centers[2], row) for row in features)
    assert not torch.equal(centers[1], centers[2])


def test_a_center_without_members_never_moves_into_padding() -> None:
    features, start = with_equal_starts()
    padded = torch.zeros(1, 20, 6)
    padded[0, :12] = features
    block = Block(padded, torch.tensor([12]), torch.tensor([4]))
    found, centers, _ = lloyd(block, torch.tensor([start]), assign=nearest, max_iterations=35, tolerance=1e-3)
    alone = kmeans(features, start)
    assert torch.equal(found[0, :12], alone[0])
    torch.testing.assert_close(centers[0], alone[1])


# Starts


def test_random_samples_are_distinct_and_inside_their_class() -> None:
    block, _ = padded_block()
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        start = random_samples(block, torch.rand(4, 40, generator=random))
        for group, (size, number) in enumerate(zip(SIZES, NUMBERS, strict=True)):
            chosen = set(start[group, :number].tolist())
            assert len(chosen) == number
            assert max(chosen) < size


@pytest.mark.slow
def test_random_samples_are_uniform() -> None:
    block = Block(samples(6)[None], torch.tensor([6]), torch.tensor([2]))
    random = torch.Generator().manual_seed(0)
    starts = torch.cat([random_samples(block, torch.rand(1, 6, generator=random)) for _ in range(3000)])
    counts = torch.bincount(starts.flatten(), minlength=6)
    assert (counts - 1000).abs().max() < 4 * (6000 * 1 / 6 * 5 / 6) ** 0.5


def far_apart_by_loops(features: Any, number: Any, draws: Any) -> Any:
    weight, chosen = np.ones(len(features)), []
    for draw in draws[:number]:
        chosen.append(int(np.searchsorted(weight.cumsum(), draw * weight.sum(), side="right")))
        weight = np.min([1 - features @ features[pick] for pick in chosen], axis=0).clip(0)
    return chosen


def test_far_apart_is_k_means_plus_plus_in_every_class() -> None:
    block, classes = padded_block()
    draws = torch.rand(4, 40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    start = far_apart(block, draws)
    for group, (rows, number) in enumerate(zip(classes, NUMBERS, strict=True)):
        expected = far_apart_by_loops(rows.numpy(), number, draws[group].numpy())
        assert start[group, :number].tolist() == expected
        assert len(set(expected)) == number


def test_far_apart_finds_every_group_of_equal_samples() -> None:
    features = torch.eye(5).repeat(8, 1)
    block = Block(features[None], torch.tensor([40]), torch.tensor([5]))
    for seed in range(10):
        start = far_apart(block, torch.rand(1, 40, generator=torch.Generator().manual_seed(seed)))[0]
        assert sorted((start % 5).tolist()) == [0, 1, 2, 3, 4]


def test_far_apart_never_takes_a_sample_twice_while_others_differ() -> None:
    block = Block(torch.eye(4)[None], torch.tensor([4]), torch.tensor([4]))
    assert far_apart(block, torch.zeros(1, 4)).tolist() == [[0, 1, 2, 3]]


def test_far_apart_stays_inside_the_class_when_all_samples_are_equal() -> None:
    features = torch.zeros(2, 8, 3)
    features[..., 0] = 1
    block = Block(features, torch.tensor([8, 5]), torch.tensor([3, 3]))
    start = far_apart(block, torch.rand(2, 8, generator=torch.Generator().manual_seed(0)))
    assert start[1].max() < 5
