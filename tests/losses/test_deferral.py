"""Deferred re-weighting."""

import pytest

from longtail.config import load_config
from longtail.losses import build_loss
from longtail.losses.deferral import Deferral
from tests.helpers.worked_example import COUNTS, TARGETS, logits


def test_deferral_without_a_start_is_always_on() -> None:
    deferral = Deferral()
    assert deferral.on
    deferral.set_epoch(1)
    assert deferral.on


def test_deferral_is_on_after_the_start_epoch_and_can_go_back() -> None:
    deferral = Deferral(2)
    assert not deferral.on
    on = []
    for epoch in (1, 2, 3, 4, 2):
        deferral.set_epoch(epoch)
        on.append(deferral.on)
    assert on == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("name", "epoch", "expected"),
    [
        ("CrossEntropy", 161, 2.162361),
        ("BalancedSoftmaxCE", 1, 2.162361),
        ("BalancedSoftmaxCE", 159, 2.162361),
        ("BalancedSoftmaxCE", 160, 2.162361),
        ("BalancedSoftmaxCE", 161, 2.471115),
        ("CostSensitiveCE", 160, 2.162361),
        ("CostSensitiveCE", 161, 1.601043),
        ("CDT", 160, 2.162361),
        ("CDT", 161, 1.858171),
        ("LDAMLoss", 159, 55.786110),
        ("LDAMLoss", 160, 41.783615),
    ],
)
def test_deferral_worked_example(name: str, epoch: int, expected: float) -> None:
    options = ["LOSS.LOSS_TYPE", name, "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 160]
    loss = build_loss(load_config(None, options), COUNTS)
    loss.set_epoch(epoch)
    assert loss(logits(0), TARGETS).item() == pytest.approx(expected, rel=1e-6, abs=2e-6)


def test_deferral_worked_example_backwards() -> None:
    options = ["LOSS.LOSS_TYPE", "BalancedSoftmaxCE", "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 160]
    loss = build_loss(load_config(None, options), COUNTS)
    values = []
    for epoch in (161, 160):
        loss.set_epoch(epoch)
        values.append(loss(logits(0), TARGETS).item())
    assert values == pytest.approx([2.471115, 2.162361], abs=2e-6)
