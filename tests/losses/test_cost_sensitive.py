"""Cost-sensitive cross-entropy."""

import pytest

from longtail.losses.class_weights import inverse_frequency
from tests.helpers.losses import COUNTS, LOGITS, TARGETS, nll, rows_of, value
from tests.helpers.worked_example import example_value

GAMMA = "LOSS.CostSensitiveCE.GAMMA"


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_cost_sensitive_matches_loop(gamma: float) -> None:
    weights = [(1 / n) ** gamma for n in COUNTS]  # a common factor has no effect
    losses = [weights[y] * nll(row, y) for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True)]
    expected = sum(losses) / sum(weights[y] for y in TARGETS.tolist())
    assert value("CostSensitiveCE", GAMMA, gamma).item() == pytest.approx(expected, rel=1e-5)


def test_inverse_frequency_is_1_for_the_smallest_class() -> None:
    assert inverse_frequency([8, 4, 2]).tolist() == [0.25, 0.5, 1.0]
    assert inverse_frequency([8, 2], gamma=0.5).tolist() == [0.5, 1.0]


@pytest.mark.parametrize(("gamma", "expected"), [(1.0, 1.601043), (0.5, 1.949224)])
def test_cost_sensitive_worked_example(gamma: float, expected: float) -> None:
    assert example_value("CostSensitiveCE", GAMMA, gamma) == pytest.approx(expected, abs=2e-6)
