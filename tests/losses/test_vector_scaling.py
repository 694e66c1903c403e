"""Vector scaling: a factor and an offset per class."""

import math

import pytest
import torch

from longtail.losses import CDT, LogitAdjustment, VectorScaling
from tests.helpers.losses import COUNTS, LOGITS, TARGETS, nll, rows_of, value

GAMMA, TAU = 0.4, 0.75


def test_vector_scaling_matches_loop() -> None:
    losses = []
    for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True):
        factors = [(max(COUNTS) / count) ** GAMMA for count in COUNTS]
        logits = [
            z / factor + TAU * math.log(count / sum(COUNTS))
            for z, factor, count in zip(row, factors, COUNTS, strict=True)
        ]
        losses.append(nll(logits, y))
    found = value("VectorScaling", "LOSS.VectorScaling.GAMMA", GAMMA, "LOSS.VectorScaling.TAU", TAU)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_vector_scaling_without_factor_is_logit_adjustment() -> None:
    expected = LogitAdjustment(COUNTS, TAU)(LOGITS, TARGETS)
    torch.testing.assert_close(VectorScaling(COUNTS, 0.0, tau=TAU)(LOGITS, TARGETS), expected)


def test_vector_scaling_without_offset_is_cdt() -> None:
    expected = CDT(COUNTS, GAMMA)(LOGITS, TARGETS)
    torch.testing.assert_close(VectorScaling(COUNTS, GAMMA, tau=0.0)(LOGITS, TARGETS), expected, rtol=1e-5, atol=1e-6)
