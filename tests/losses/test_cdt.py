"""Class-dependent temperatures."""

import pytest

from longtail.losses import CDT
from tests.helpers.losses import COUNTS, LOGITS, TARGETS, nll, rows_of, value
from tests.helpers.worked_example import example_loss, example_value

GAMMA = "LOSS.CDT.GAMMA"


@pytest.mark.parametrize("gamma", [0.0, 0.2, 1.0])
def test_cdt_matches_loop(gamma: float) -> None:
    losses = [
        nll([z / (max(COUNTS) / n) ** gamma for z, n in zip(row, COUNTS, strict=True)], y)
        for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True)
    ]
    assert value("CDT", GAMMA, gamma).item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_cdt_worked_example() -> None:
    assert example_value("CDT") == pytest.approx(1.858171, abs=2e-6)
    loss = example_loss("CDT")
    assert isinstance(loss, CDT)
    assert loss.temperature.tolist() == pytest.approx([1, 1.201124, 1.379730, 1.584893, 1.820564], abs=1e-6)
