"""Focal loss."""

import math

import pytest
import torch

from longtail.losses.focal import focal
from tests.helpers.losses import LOGITS, TARGETS, C, build, rows_of, value
from tests.helpers.worked_example import example_value


def focal_loop(row: list[float], y: int, gamma: float) -> float:
    """Return the focal loss of one sample, class by class."""
    wrong = [1 / (1 + math.exp(z)) if c == y else 1 / (1 + math.exp(-z)) for c, z in enumerate(row)]
    return sum(-math.log(1 - q) * q**gamma for q in wrong)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_matches_loop(gamma: float) -> None:
    expected = [focal_loop(row, y, gamma) for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True)]
    torch.testing.assert_close(focal(LOGITS, TARGETS, gamma=gamma), torch.tensor(expected, dtype=torch.float64))
    mean = sum(expected) / len(expected)
    assert value("FocalLoss", "LOSS.FocalLoss.GAMMA", gamma).item() == pytest.approx(mean, rel=1e-5)


def test_focal_worked_example() -> None:
    assert example_value("FocalLoss") == pytest.approx(2.291629, abs=3e-6)


def test_focal_deferred_weights_are_inverse_frequencies() -> None:
    loss = build("FocalLoss", "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 1, counts=[8, 4, 2, 2, 1])
    loss.set_epoch(2)
    weights = torch.tensor([0.125, 0.25, 0.5, 0.5, 1.0], dtype=torch.float64)
    expected = (weights[TARGETS] * focal(LOGITS, TARGETS, gamma=2.0)).mean()
    torch.testing.assert_close(loss(LOGITS, TARGETS), expected)


def test_focal_with_gamma_0_is_binary_cross_entropy() -> None:
    one_hot = torch.nn.functional.one_hot(TARGETS, C).double()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, one_hot, reduction="none").sum(1)
    torch.testing.assert_close(focal(LOGITS, TARGETS, gamma=0.0), expected)
