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


def test_vector_scaling_weights_match_loop() -> None:
    power, losses, weights = 0.3, [], []
    for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True):
        logits = [z + TAU * math.log(count / sum(COUNTS)) for z, count in zip(row, COUNTS, strict=True)]
        losses.append(nll(logits, y))
        weights.append((COUNTS[y] / sum(COUNTS)) ** -power)
    keys = ["LOSS.VectorScaling.GAMMA", 0.0, "LOSS.VectorScaling.TAU", TAU, "LOSS.VectorScaling.WEIGHT_POWER", power]
    expected = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
    assert value("VectorScaling", *keys).item() == pytest.approx(expected, rel=1e-5)


def test_vector_scaling_weights_start_with_the_rest() -> None:
    loss = VectorScaling(COUNTS, GAMMA, weight_power=0.5, start_epoch=3)
    loss.set_epoch(3)
    torch.testing.assert_close(loss(LOGITS, TARGETS), torch.nn.functional.cross_entropy(LOGITS, TARGETS))
    loss.set_epoch(4)
    torch.testing.assert_close(loss(LOGITS, TARGETS), VectorScaling(COUNTS, GAMMA, weight_power=0.5)(LOGITS, TARGETS))
