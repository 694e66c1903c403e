"""Cross-entropy, plain and with class weights."""

import pytest
import torch

from longtail.losses import CrossEntropy, WeightedCrossEntropy
from tests.helpers.losses import LOGITS, TARGETS, build, nll, rows_of, value
from tests.helpers.worked_example import example_value


def test_cross_entropy_matches_loop() -> None:
    losses = [nll(row, y) for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True)]
    assert value("CrossEntropy").item() == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    assert isinstance(build("CrossEntropy"), CrossEntropy)


def test_cross_entropy_worked_example() -> None:
    assert example_value("CrossEntropy") == pytest.approx(2.162361, abs=2e-6)


@pytest.mark.parametrize("factor", [1.0, 5.0])
def test_weighted_cross_entropy_divides_by_the_weights_in_the_batch(factor: float) -> None:
    weights = [0.5, 1.0, 2.0, 0.1, 3.0]
    losses = [weights[y] * nll(row, y) for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True)]
    expected = sum(losses) / sum(weights[y] for y in TARGETS.tolist())
    loss = WeightedCrossEntropy(factor * torch.tensor(weights))
    assert loss(LOGITS, TARGETS).item() == pytest.approx(expected, rel=1e-6)
