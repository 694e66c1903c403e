"""Learning-rate schedules against the golden records of the releases and by hand."""

import math
from typing import Any

import pytest

from longtail.config import load_config
from longtail.engine.optim import SCHEDULES, build_schedule, learning_rates, step_rate
from longtail.errors import UserError
from tests.helpers.golden import record

CASES: list[dict[str, Any]] = record("learning_rates")["cases"]


def config(**keys: Any) -> Any:
    sections = {"BASE_LR": "OPTIMIZER.", "MAX_EPOCH": ""}
    pairs = [(f"TRAIN.{sections.get(key, 'LR_SCHEDULER.')}{key}", value) for key, value in keys.items()]
    return load_config(None, [part for pair in pairs for part in pair])


def rates(**keys: Any) -> list[float]:
    return learning_rates(config(**keys))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['options'][3]}-{len(case['lr_by_epoch'])}")
def test_learning_rates_are_the_released_ones(case: dict[str, Any]) -> None:
    assert learning_rates(load_config(None, case["options"])) == pytest.approx(case["lr_by_epoch"], rel=1e-12, abs=0)


def test_multistep_changes_in_the_epoch_of_a_milestone() -> None:
    expected = [1.0, 1.0, 0.1, 0.1, 0.01]
    found = rates(TYPE="multistep", LR_STEP=[3, 5], LR_FACTOR=0.1, BASE_LR=1, MAX_EPOCH=5)
    assert found == pytest.approx(expected, rel=1e-12)


def test_warmup_rises_from_a_third_to_the_base_rate_in_its_last_epoch() -> None:
    found = rates(TYPE="warmup", WARM_EPOCH=5, BASE_LR=0.1, MAX_EPOCH=6, LR_STEP=[])
    assert found == pytest.approx([0.14 / 3, 0.06, 0.22 / 3, 0.26 / 3, 0.1, 0.1], rel=1e-12)


def test_warmup_of_no_epochs_is_multistep() -> None:
    settings = {"LR_STEP": [2, 3], "BASE_LR": 0.1, "MAX_EPOCH": 4}
    assert rates(TYPE="warmup", WARM_EPOCH=0, **settings) == rates(TYPE="multistep", **settings)


def test_warmup_multiplies_with_a_milestone_inside_it() -> None:
    found = rates(TYPE="warmup", WARM_EPOCH=4, LR_STEP=[2], LR_FACTOR=0.1, BASE_LR=1, MAX_EPOCH=4)
    assert found == pytest.approx([0.5, 0.2 / 3, 0.25 / 3, 0.1], rel=1e-12)


def test_cosine_ends_at_its_smallest_rate_and_stays_there() -> None:
    found = rates(TYPE="cosine", BASE_LR=0.2, MAX_EPOCH=6, COSINE_DECAY_END=4)
    assert found[1] == pytest.approx((0.2 + 1e-4) / 2, rel=1e-12)
    assert found[3:] == pytest.approx([1e-4] * 3, rel=1e-12)
    assert all(rate > 0 for rate in found)


def test_epoch_offset_of_0_starts_the_cosine_at_its_top() -> None:
    settings = {"TYPE": "cosine", "BASE_LR": 0.2, "MAX_EPOCH": 4, "MIN_LR": 0.0}
    expected = [0.1 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(5)]
    assert rates(EPOCH_OFFSET=0, **settings) == pytest.approx(expected[:4])
    assert rates(EPOCH_OFFSET=1, **settings) == pytest.approx(expected[1:])


def test_epoch_offset_of_0_changes_multistep_one_epoch_later() -> None:
    settings = {"TYPE": "multistep", "LR_STEP": [2], "LR_FACTOR": 0.1, "BASE_LR": 1, "MAX_EPOCH": 3}
    assert rates(EPOCH_OFFSET=1, **settings) == pytest.approx([1, 0.1, 0.1])
    assert rates(EPOCH_OFFSET=0, **settings) == pytest.approx([1, 1, 0.1])


@pytest.mark.parametrize("offset", [0, 1])
def test_warmup_cosine_stays_at_its_end(offset: int) -> None:
    settings = {"TYPE": "warmup_cosine", "WARM_EPOCH": 1, "BASE_LR": 1, "MIN_LR": 0.1, "EPOCH_OFFSET": offset}
    found = rates(COSINE_DECAY_END=4, MAX_EPOCH=8, **settings)
    assert found[4 - offset] == pytest.approx(0.1, abs=1e-12)  # at the position 4
    assert found[3 - offset] > 0.2
    assert set(found[4:]) == {found[4]}  # with an offset of 1 it is slightly higher than at its end


def test_warmup_cosine_without_per_step_has_the_first_rate_of_each_epoch() -> None:
    settings = {"TYPE": "warmup_cosine", "WARM_EPOCH": 2, "BASE_LR": 1, "MAX_EPOCH": 5}
    cfg, per_step = config(PER_STEP=False, **settings), config(**settings)
    for epoch in range(1, 6):
        assert {step_rate(cfg, epoch, step, 7) for step in range(7)} == {step_rate(per_step, epoch, 0, 7)}


def test_warmup_cosine_changes_in_every_step() -> None:
    cfg = config(TYPE="warmup_cosine", WARM_EPOCH=2, BASE_LR=1, MAX_EPOCH=6, MIN_LR=0.1, EPOCH_OFFSET=0)
    for position in range(6 * 5):
        epoch = position / 5
        cosine = 0.1 + 0.9 * (1 + math.cos(math.pi * (epoch - 2) / 4)) / 2
        expected = epoch / 2 if epoch < 2 else cosine
        assert step_rate(cfg, 1 + position // 5, position % 5, 5) == pytest.approx(expected, abs=1e-12)
    assert learning_rates(cfg) == [step_rate(cfg, epoch, 0, 5) for epoch in range(1, 7)]
    assert build_schedule(cfg).per_step


@pytest.mark.parametrize("kind", ["multistep", "warmup", "cosine"])
def test_step_rate_is_constant_inside_an_epoch(kind: str) -> None:
    cfg = config(TYPE=kind, WARM_EPOCH=3, BASE_LR=0.3, MAX_EPOCH=5, LR_STEP=[2])
    for epoch, rate in enumerate(learning_rates(cfg), start=1):
        assert {step_rate(cfg, epoch, step, 7) for step in range(7)} == {rate}
    assert not build_schedule(cfg).per_step


@pytest.mark.parametrize("kind", list(SCHEDULES))
def test_schedules_without_a_warm_up_are_finite_and_positive(kind: str) -> None:
    found = rates(TYPE=kind, WARM_EPOCH=0, BASE_LR=0.3, MAX_EPOCH=1, LR_STEP=[])
    assert len(found) == 1 and 0 < found[0] <= 0.3


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"unknown learning-rate schedule 'cosin'; available: .*; did you mean cosine\?"
    ):
        rates(TYPE="cosin")
