"""Balanced softmax and logit adjustment: one class."""

import math

import pytest
import torch

from longtail.losses import BalancedSoftmax, LogitAdjustment
from tests.helpers.losses import COUNTS, LOGITS, TARGETS, build, nll, rows_of, value
from tests.helpers.worked_example import example_value


def loop(offsets: list[float]) -> float:
    """Return the mean cross-entropy of the logits plus one offset per class."""
    rows = zip(rows_of(LOGITS), TARGETS.tolist(), strict=True)
    losses = [nll([z + offset for z, offset in zip(row, offsets, strict=True)], y) for row, y in rows]
    return sum(losses) / len(losses)


def test_balanced_softmax_matches_loop() -> None:
    assert value("BalancedSoftmaxCE").item() == pytest.approx(loop([math.log(n) for n in COUNTS]), rel=1e-6)


@pytest.mark.parametrize("tau", [-1.0, 0.0, 0.7, 2.0])
def test_logit_adjustment_matches_loop(tau: float) -> None:
    expected = loop([tau * math.log(n / sum(COUNTS)) for n in COUNTS])
    assert value("LogitAdjustment", "LOSS.LogitAdjustment.TAU", tau).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["BalancedSoftmaxCE", "LogitAdjustment"])
def test_prior_adjustment_worked_example(name: str) -> None:
    assert example_value(name) == pytest.approx(2.471115, abs=2e-6)


def test_balanced_softmax_is_logit_adjustment_with_tau_1() -> None:
    loss = build("BalancedSoftmaxCE")
    assert isinstance(loss, BalancedSoftmax) and isinstance(loss, LogitAdjustment)
    assert type(build("LogitAdjustment")) is LogitAdjustment
    torch.testing.assert_close(loss(LOGITS, TARGETS), LogitAdjustment(COUNTS)(LOGITS, TARGETS))


def test_logit_adjustment_with_tau_0_is_cross_entropy() -> None:
    torch.testing.assert_close(value("LogitAdjustment", "LOSS.LogitAdjustment.TAU", 0.0), value("CrossEntropy"))


@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_logit_adjustment_prior_counts_and_frequencies_are_equivalent(tau: float) -> None:
    counts, frequencies = (LogitAdjustment(COUNTS, tau, prior=prior) for prior in ("counts", "frequencies"))
    assert not torch.allclose(counts.adjustment, frequencies.adjustment)
    torch.testing.assert_close(counts(LOGITS, TARGETS), frequencies(LOGITS, TARGETS))


def test_balanced_softmax_does_not_depend_on_the_number_of_images() -> None:
    torch.testing.assert_close(
        value("BalancedSoftmaxCE", counts=[10 * count for count in COUNTS]), value("BalancedSoftmaxCE")
    )


def test_logit_adjustment_start_epoch() -> None:
    loss = LogitAdjustment(COUNTS, 0.7, start_epoch=2)
    plain, adjusted = value("CrossEntropy"), value("LogitAdjustment", "LOSS.LogitAdjustment.TAU", 0.7)
    for epoch, expected in ((1, plain), (2, plain), (3, adjusted)):
        loss.set_epoch(epoch)
        torch.testing.assert_close(loss(LOGITS, TARGETS), expected)
