"""The learning rates of SBCL's release, by the configs of this project."""

from typing import Any

import pytest

from longtail.config import load_config
from longtail.engine.optim import build_schedule, learning_rates
from tests.helpers.golden import record

CASES = [case for case in record("sbcl_stage2")["cases"] if case["kind"] == "learning_rates"]
CONFIGS = {
    ("cifar stage 1", None): "cifar100_im100,sbcl_contrast",
    ("cifar stage 2", "DRW"): "cifar100_im100,sbcl_ldam",
    ("cifar stage 2", "CB"): "cifar100_im100,sbcl_balanced",
    ("cifar stage 2", "Reweight"): "cifar100_im100,sbcl_resampled",
    ("cifar stage 2", "CE"): "cifar100_im100,sbcl_ldam",  # the same rates
    ("moco stage 1, each half", None): "imagenet_lt,sbcl_queue",
    ("moco stage 2", None): "imagenet_lt,sbcl_balanced_large",
}
FIRST, *OTHERS = CASES
assert len(OTHERS) == 6


def config_of(case: dict[str, Any]) -> Any:
    return load_config(CONFIGS[case["code"], case.get("rule")])


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case["id"])
def test_learning_rates_of_sbcl_are_the_released_ones(case: dict[str, Any]) -> None:
    assert learning_rates(config_of(case)) == pytest.approx(case["lr_by_epoch"], rel=1e-8, abs=1e-12)


def test_rates_of_the_first_stage_of_sbcl_are_the_released_ones_after_its_epoch_0() -> None:
    """The released warm-up aims at a cosine that ends at 5e-4, and is followed by one that ends at 5e-5."""
    schedule, steps = build_schedule(config_of(FIRST)), FIRST["batches_per_epoch"]
    (zero, negative), *epochs = FIRST["lr_by_epoch"]
    assert zero == 0 and negative[0] < 0
    for epoch, expected in epochs:
        rates = [schedule(epoch, step, steps) for step in range(steps)]
        wanted = expected if isinstance(expected, list) else [expected] * steps
        assert rates == pytest.approx(wanted, rel=3e-7 if epoch <= FIRST["warmup_epochs"] else 1e-8), epoch
    assert len(epochs) == 32


def test_rates_of_the_first_stage_of_sbcl_are_never_negative() -> None:
    schedule = build_schedule(config_of(FIRST))
    assert min(schedule(epoch, step, 11) for epoch in range(1, 1001) for step in range(11)) > 0
    assert schedule(1, 0, 11) == pytest.approx(FIRST["warmup_from"])
