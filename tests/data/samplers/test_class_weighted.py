"""Tests of class and image frequencies: published rules, worked examples and chi-square tests."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from long_tailed_sets import CONFIGS, COUNTS, REVERSE, long_tailed, sampler_of
from scipy.stats import chisquare

from longtail.data.samplers import PowerWeighted, Progressive

EXPONENT = "TRAIN.SAMPLER.WEIGHTED_SAMPLER.EXPONENT"
MANY = [572 * count for count in COUNTS]  # an epoch of 100,100 draws
ALL = CONFIGS | {"reverse": REVERSE}


def published(name: Any, counts: Any, epoch: Any, epochs: Any) -> Any:
    """Return the class probabilities by the rules of the papers and releases, class by class."""
    if name.endswith("progressive"):
        fraction = epoch / epochs
        return [fraction / len(counts) + (1 - fraction) * count / sum(counts) for count in counts]
    weight = {
        "balance": lambda count: 1,
        "NCL balance": lambda count: 1,
        "square": lambda count: count**0.5,
        "NCL square": lambda count: (count**0.5) ** 0.5,
        "reverse": lambda count: max(counts) / count,
    }[name]
    total = sum(weight(count) for count in counts)
    return [weight(count) / total for count in counts]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("balance", [0.2, 0.2, 0.2, 0.2, 0.2]),
        ("square", [0.3818, 0.2414, 0.1707, 0.1207, 0.0854]),
        ("NCL square", [0.2858, 0.2273, 0.1911, 0.1607, 0.1351]),
        ("reverse", [0.0260, 0.0649, 0.1299, 0.2597, 0.5195]),
    ],
)
def test_probabilities_worked_examples(name: Any, expected: Any) -> None:
    assert sampler_of(*ALL[name]).probabilities(1).tolist() == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("epoch", [1, 5, 10])
def test_probabilities_published_rule(name: Any, epoch: Any) -> None:
    expected = published(name, COUNTS, epoch, 10)
    assert sampler_of(*ALL[name]).probabilities(epoch).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("epoch", [1, 4, 10])
def test_indices_class_frequencies_chi_square(name: Any, epoch: Any) -> None:
    images = long_tailed(MANY)
    drawn = torch.bincount(images.labels[sampler_of(*ALL[name], images=images).indices(epoch)]).numpy()
    expected = np.array(published(name, MANY, epoch, 10)) * sum(MANY)
    assert drawn.sum() == 100_100
    assert chisquare(drawn, expected).pvalue > 1e-3


def test_chi_square_distinguishes_rules() -> None:
    images = long_tailed(MANY)
    drawn = torch.bincount(images.labels[sampler_of(*CONFIGS["square"], images=images).indices(1)]).numpy()
    for other in ("NCL square", "balance"):
        expected = np.array(published(other, MANY, 1, 10)) * sum(MANY)
        assert chisquare(drawn, expected).pvalue < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_indices_uniform_within_class(name: Any) -> None:
    images = long_tailed()
    sampler = sampler_of("TRAIN.MAX_EPOCH", 572, *ALL[name], images=images)
    draws = torch.cat([sampler.indices(epoch) for epoch in range(1, 573)])
    assert len(draws) == 100_100
    seen = torch.bincount(draws, minlength=len(images))
    for label, count in enumerate(COUNTS):
        of_class = seen[images.labels == label]
        assert len(of_class) == count
        assert chisquare(of_class.numpy()).pvalue > 1e-3


def test_instance_balanced_class_frequencies() -> None:
    images = long_tailed()
    order = sampler_of(images=images).indices(1)
    assert torch.bincount(images.labels[order]).tolist() == COUNTS


def test_progressive_linear_interpolation() -> None:
    sampler = Progressive(long_tailed(), seed=0, epochs=10)
    steps = [sampler.probabilities(epoch) for epoch in range(11)]
    assert steps[0].tolist() == pytest.approx([count / sum(COUNTS) for count in COUNTS])
    assert steps[10].tolist() == pytest.approx([0.2] * 5)
    for before, after in pairwise(steps):
        assert (after - before).tolist() == pytest.approx(((steps[10] - steps[0]) / 10).tolist())


def test_square_exponents_one_and_zero() -> None:
    images = long_tailed()
    ends = [sampler_of(*CONFIGS["square"], EXPONENT, end, images=images) for end in (1.0, 0.0)]
    assert ends[0].probabilities(1).tolist() == pytest.approx([count / sum(COUNTS) for count in COUNTS])
    assert torch.equal(ends[1].indices(1), sampler_of(*CONFIGS["balance"], images=images).indices(1))


@pytest.mark.parametrize("name", ALL)
def test_indices_depend_only_on_seed_and_epoch(name: Any) -> None:
    def draw(seed: Any, epoch: Any) -> Any:
        return sampler_of(*ALL[name], "RAND_SEED", seed).indices(epoch)

    assert torch.equal(draw(0, 3), draw(0, 3))
    assert len({tuple(draw(seed, epoch).tolist()) for seed in (0, 1) for epoch in (1, 2, 3)}) == 6
    before = torch.get_rng_state()
    draw(0, 1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ALL)
def test_indices_range_and_length(name: Any) -> None:
    images = long_tailed(generated=[0, 0, 5, 10, 20])
    sampler = sampler_of(*ALL[name], images=images)
    order = sampler.indices(2)
    assert sampler.length == len(order) == sum(COUNTS)
    assert order.dtype == torch.int64
    assert order.min() >= 0 and order.max() < len(images)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_generated_images_drawn_uniformly_within_class(name: Any) -> None:
    generated = [0, 60, 80, 90, 95]
    images = long_tailed(generated=generated)
    sampler = sampler_of("TRAIN.MAX_EPOCH", 572, *ALL[name], images=images)
    plain = sampler_of("TRAIN.MAX_EPOCH", 572, *ALL[name])
    assert torch.equal(sampler.probabilities(7), plain.probabilities(7))
    draws = torch.cat([sampler.indices(epoch) for epoch in range(1, 573)])
    seen = torch.bincount(draws, minlength=len(images))
    for label in range(len(COUNTS)):
        of_class = seen[images.labels == label]
        assert len(of_class) == COUNTS[label] + generated[label]
        assert chisquare(of_class.numpy()).pvalue > 1e-3


def test_instance_balanced_never_draws_generated_images() -> None:
    images = long_tailed(generated=[0, 0, 5, 10, 20])
    assert sorted(sampler_of(images=images).indices(1).tolist()) == list(range(sum(COUNTS)))


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5])
def test_class_without_images_never_drawn(exponent: Any) -> None:
    images = long_tailed([6, 0, 3, 0])
    sampler = PowerWeighted(images, 0, exponent=exponent)
    assert sampler.probabilities(1)[[1, 3]].tolist() == [0, 0]
    drawn = torch.cat([sampler.indices(epoch) for epoch in range(200)])
    assert set(images.labels[drawn].tolist()) == {0, 2}
    assert set(drawn.tolist()) == set(range(9))
