"""Repeat-factor sampling: the rule, its stochastic rounding, epochs, shards."""

import math
from typing import Any

import pytest
import torch
from long_tailed_sets import COUNTS, long_tailed, sampler_of

from longtail.data import Shard
from longtail.data.loaders.base import Loader, LoaderSettings
from longtail.data.samplers import RepeatFactor
from longtail.data.samplers.repeat_factor import repeat_factors

TYPE = ("TRAIN.SAMPLER.TYPE", "repeat-factor sampler")
THRESHOLD = "TRAIN.SAMPLER.REPEAT_FACTOR.THRESHOLD"
LABELS = long_tailed().labels


def sampler(threshold: float = 0.25, *, seed: int = 0, counts: list[int] = COUNTS) -> RepeatFactor:
    labels = long_tailed(counts).labels
    return RepeatFactor(labels, seed, threshold=threshold, num_classes=len(counts))


@pytest.mark.parametrize("threshold", [0.001, 0.1, 0.25, 1.0])
def test_repeat_factors_match_loop(threshold: float) -> None:
    factors = repeat_factors(torch.tensor(COUNTS), threshold).tolist()
    expected = [max(1, math.sqrt(threshold / (count / sum(COUNTS)))) for count in COUNTS]
    assert factors == pytest.approx(expected, rel=1e-12)


def test_repeat_factors_by_hand() -> None:
    """Fractions 0.9, 0.09 and 0.01; at 0.09 the second class is exactly at the threshold."""
    assert repeat_factors(torch.tensor([90, 9, 1, 0]), 0.09).tolist() == pytest.approx([1, 1, 3, 1])


@pytest.mark.parametrize("threshold", [0.05, 0.25, 1.0])
@pytest.mark.parametrize("epoch", [1, 2, 9])
def test_repeats_are_the_factors_rounded_up_or_down(threshold: float, epoch: int) -> None:
    drawn = sampler(threshold)
    repeats, factors = drawn.repeats(epoch), repeat_factors(torch.tensor(COUNTS), threshold)[LABELS]
    assert ((repeats == factors.floor()) | (repeats == factors.ceil())).all()
    assert drawn.length == math.floor(float(factors.sum()) + 1e-5)
    assert int(repeats.sum()) - drawn.length in (0, 1)


@pytest.mark.slow
def test_repeats_are_rounded_with_their_probability() -> None:
    """Every image on its own, and pairs of images independently of each other but for the fixed sum."""
    drawn, epochs = sampler(0.25, seed=1), 1000
    repeats = torch.stack([drawn.repeats(epoch) for epoch in range(1, epochs + 1)]).double()
    fraction = drawn.factors - drawn.factors.floor()
    limit = 4.5 * (fraction * (1 - fraction) / epochs).sqrt() + 1e-6
    assert ((repeats.mean(0) - drawn.factors).abs() <= limit).all()
    extra = repeats - repeats.mean(0)
    random = extra[:, extra.std(0) > 0]
    correlation = torch.corrcoef(random.T).fill_diagonal_(0)
    assert correlation.abs().max() < 0.25


@pytest.mark.parametrize("epoch", [1, 4])
def test_epoch_shows_every_image_as_often_as_it_is_repeated(epoch: int) -> None:
    drawn = sampler(0.25)
    order = drawn.indices(epoch)
    assert len(order) == drawn.length and order.dtype == torch.int64
    missing = drawn.repeats(epoch) - torch.bincount(order, minlength=len(LABELS))
    assert (missing >= 0).all() and int(missing.sum()) == int(drawn.repeats(epoch).sum()) - drawn.length
    assert not torch.equal(order, order.sort().values)


def test_image_that_an_epoch_has_too_many_is_any_image() -> None:
    drawn = sampler(0.25)
    left_out = []
    for epoch in range(1, 41):
        missing = drawn.repeats(epoch) - torch.bincount(drawn.indices(epoch), minlength=len(LABELS))
        left_out += missing.nonzero()[:, 0].tolist()
    assert 0 < len(left_out) < 40  # some epochs have one too many, others do not
    assert len(set(left_out)) > 1


def test_threshold_below_every_class_is_default_sampling() -> None:
    drawn = sampler(0.001, seed=42)
    assert torch.equal(drawn.indices(3), sampler_of("RAND_SEED", 42).indices(3))
    assert str(drawn) == f"repeat factors from 1 to 1, {sum(COUNTS)} images per epoch"


def test_threshold_0_is_one_over_the_number_of_classes() -> None:
    balanced = sampler(0.0, counts=[6, 6, 6])
    assert balanced.length == 18
    assert torch.equal(sampler(0.0).factors, sampler(1 / len(COUNTS)).factors)


def test_epoch_depends_on_seed_and_epoch_only() -> None:
    orders = {tuple(sampler(seed=seed).indices(epoch).tolist()) for seed in (0, 1) for epoch in (1, 2, 3)}
    assert len(orders) == 6
    torch.manual_seed(7)
    state, first = torch.get_rng_state(), sampler().indices(2)
    assert torch.equal(first, sampler().indices(2))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("world", [1, 2, 3])
def test_shards_partition_an_epoch(world: int) -> None:
    drawn = sampler()
    shards = [
        Loader(
            LoaderSettings(sampler=drawn, labels=LABELS, batch_size=8, seed=0, shard=Shard(rank, world), drop_last=True)
        )
        for rank in range(world)
    ]
    steps = zip(*(shard.batch_indices(2) for shard in shards), strict=True)
    together = torch.cat([part for step in steps for part in step])
    assert len(together) == drawn.length // (8 * world) * 8 * world > len(LABELS)
    assert torch.equal(together, drawn.indices(2)[: len(together)])


@pytest.mark.parametrize(("overrides", "threshold"), [((), 0.2), ((THRESHOLD, 0.5), 0.5)])
def test_repeat_factor_is_built_from_the_config(overrides: tuple[Any, ...], threshold: float) -> None:
    generated = long_tailed(generated=[3, 3, 3, 3, 3])
    drawn = sampler_of(*TYPE, *overrides, "RAND_SEED", 42, images=generated)
    assert torch.equal(drawn.indices(1), sampler(threshold, seed=42).indices(1))
    assert int(drawn.indices(1).max()) < sum(COUNTS)  # generated images come last
