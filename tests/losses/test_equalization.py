"""Softmax equalization loss."""

import math

import pytest
import torch

from longtail.config import load_config
from longtail.data import build_splits
from longtail.losses import build_loss
from tests.helpers.losses import LOGITS, SEQL, TARGETS, C, build, grad, rows_of, value
from tests.helpers.worked_example import example_value


def test_softmax_equalization_matches_loop() -> None:
    losses = []
    for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True):
        kept = [z for c, z in enumerate(row) if c < 3 or c == y]  # classes 3 and 4 have less than 10 of 102 images
        losses.append(math.log(sum(map(math.exp, kept))) - row[y])
    assert value("SEQL", *SEQL).item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_softmax_equalization_worked_example() -> None:
    assert example_value("SEQL", *SEQL) == pytest.approx(1.676558, abs=2e-6)


def test_softmax_equalization_without_tail_classes_is_cross_entropy() -> None:
    torch.testing.assert_close(value("SEQL", "LOSS.SEQL.GAMMA", 1.0, counts=[9] * C), value("CrossEntropy"))


def test_softmax_equalization_with_gamma_0_is_cross_entropy() -> None:
    torch.testing.assert_close(value("SEQL", *SEQL, "LOSS.SEQL.GAMMA", 0.0), value("CrossEntropy"))


def test_softmax_equalization_masks_each_sample_and_class_at_random() -> None:
    loss = build("SEQL", "LOSS.SEQL.GAMMA", 0.75, "LOSS.SEQL.LAMBDA", 0.1)
    logits = torch.zeros(4000, C).requires_grad_()
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append(loss(logits, torch.zeros(4000, dtype=torch.int64)))
    assert values[0] == values[1] != values[2]
    values[0].backward()
    masked = grad(logits) == 0
    assert masked[:, :3].sum() == 0
    assert masked.double().mean(0)[3:].tolist() == pytest.approx([0.75, 0.75], abs=0.03)
    assert (masked[:, 3] & masked[:, 4]).double().mean() == pytest.approx(0.75**2, abs=0.03)


@pytest.mark.parametrize(("fraction", "warnings"), [(0.005, 1), (0.05, 0)])
def test_seql_without_a_small_class_is_warned_about(
    caplog: pytest.LogCaptureFixture, fraction: float, warnings: int
) -> None:
    build_loss(load_config(None, ["LOSS.LOSS_TYPE", "SEQL", "LOSS.SEQL.LAMBDA", fraction]), [268, 8])
    assert len(caplog.messages) == warnings
    assert all("LOSS.SEQL.LAMBDA is 0.005" in message and "0.029" in message for message in caplog.messages)


def test_digits_have_small_classes_for_seql() -> None:
    cfg = load_config("digits_lt,seql")
    counts = torch.bincount(build_splits(cfg).train.labels)
    assert 1 <= int((counts < cfg.LOSS.SEQL.LAMBDA * counts.sum()).sum()) < 10
