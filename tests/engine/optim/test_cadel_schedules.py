"""Learning-rate schedules against the records of CADEL's release."""

from typing import Any

import pytest

from longtail.config import load_config
from longtail.engine.optim import learning_rates, step_rate
from tests.helpers.golden import record

CASES: list[dict[str, Any]] = record("cadel_learning_rates")["cases"]
COSINE = [case for case in CASES if case["schedule" if case["kind"] == "cnn" else "kind"].startswith("cosine")]
STEPS = [case for case in CASES if case.get("schedule", "").startswith("steps")]
VIT = [case for case in CASES if case["kind"] == "vit"]


def config(case: dict[str, Any], kind: str, **keys: Any) -> Any:
    schedule = [item for name, value in keys.items() for item in (f"TRAIN.LR_SCHEDULER.{name}", value)]
    rate = ["TRAIN.OPTIMIZER.BASE_LR", case["lr"], "TRAIN.MAX_EPOCH", case["epochs"]]
    return load_config(None, ["TRAIN.LR_SCHEDULER.TYPE", kind, *rate, *schedule])


def test_every_record_is_used() -> None:
    assert (len(COSINE), len(STEPS), len(VIT)) == (3, 1, 5)
    assert len(CASES) == 9


@pytest.mark.parametrize("case", COSINE, ids=lambda case: f"{case['lr']}-{case['epochs']}")
def test_cosine_equals_the_release(case: dict[str, Any]) -> None:
    cfg = config(case, "cosine", MIN_LR=case["end_lr"], EPOCH_OFFSET=0)
    assert learning_rates(cfg) == pytest.approx(case["lr_by_epoch"], rel=1e-8, abs=1e-14)


@pytest.mark.parametrize("case", STEPS, ids=lambda case: str(case["epochs"]))
def test_warmup_equals_the_release_after_its_warm_up(case: dict[str, Any]) -> None:
    """The release cannot use these steps; its warm-up starts at 1/5 of the rate, that of NCL at 1/3."""
    steps, warm = [case["step1"], case["step2"]], case["warmup_epoch"]
    cfg = config(case, "warmup", LR_STEP=steps, LR_FACTOR=case["g"], WARM_EPOCH=warm, EPOCH_OFFSET=0)
    rates = learning_rates(cfg)
    assert rates[warm:] == pytest.approx(case["lr_by_epoch"][warm:], rel=1e-8)
    assert len(rates) == len(case["lr_by_epoch"])


@pytest.mark.parametrize("case", VIT, ids=lambda case: f"{case['lr']}-{case['min_lr']}-{case['epochs']}")
def test_warmup_cosine_equals_the_release(case: dict[str, Any]) -> None:
    keys = {"MIN_LR": case["min_lr"], "WARM_EPOCH": case["warmup_epochs"], "EPOCH_OFFSET": 1}
    cfg = config(case, "warmup_cosine", **keys)
    for epoch, step, rate in case["rates"]:
        assert step_rate(cfg, epoch, step, case["steps_per_epoch"]) == pytest.approx(rate, rel=1e-8, abs=1e-14)
    first = {epoch: rate for epoch, step, rate in case["rates"] if step == 0}
    rates = learning_rates(cfg)
    assert all(rates[epoch - 1] == pytest.approx(rate, rel=1e-8, abs=1e-14) for epoch, rate in first.items())
