"""When things happen in a training."""

import pytest

from longtail.engine.training import Plan


@pytest.mark.parametrize(
    ("every", "expected"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6, 7]), (7, [7]), (100, [7]), (-1, [7])]
)
def test_plan_evaluates_after_the_last_epoch_whatever_the_step(every: int, expected: list[int]) -> None:
    plan = Plan(7, evaluate_every=every)
    assert [epoch for epoch in range(1, 8) if plan.evaluates(epoch)] == expected


@pytest.mark.parametrize(("every", "expected"), [(1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3]), (-1, [])])
def test_plan_keeps_checkpoints_of_every_few_epochs(every: int, expected: list[int]) -> None:
    plan = Plan(4, save_every=every)
    assert [epoch for epoch in range(1, 5) if plan.keeps(epoch)] == expected
