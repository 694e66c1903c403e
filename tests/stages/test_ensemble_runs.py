"""TEST.ENSEMBLE in training, evaluation, sweep and calibration."""

import csv
from pathlib import Path
from typing import Any

import pytest

from longtail.errors import UserError
from longtail.stages import evaluate as evaluate_stage
from longtail.stages.calibrate import calibrate
from longtail.stages.calibration_spec import Calibration
from longtail.stages.evaluate import validate
from longtail.stages.sweep import sweep
from tests.helpers.training import CASCADE, CPU, FinishedRun, TinyConfig, read_json, read_records, train

LAST = ("TEST.ENSEMBLE", "last")


@pytest.fixture(autouse=True)
def no_details(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_stage, "_write_details", lambda *args, **kwargs: None)


@pytest.fixture
def folder(finished_run: FinishedRun) -> Path:
    return finished_run(method=CASCADE).path


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "logit_adjustment_sweep.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_training_reports_the_heads_and_the_chosen_ensemble(tiny_cfg: TinyConfig) -> None:
    run = train(tiny_cfg(*LAST, method=CASCADE))
    for record in read_records(run, "valid"):
        assert len(record["experts"]) == 2
        assert record["ensemble"] == record["experts"][1]
    assert read_json(run.results)["best"]["ensemble"] == read_json(run.results)["best"]["experts"][1]


@pytest.mark.slow
def test_validate_evaluates_the_chosen_heads(tiny_cfg: TinyConfig, folder: Path) -> None:
    results = {}
    for rule in ("mean", "last", "0"):
        cfg = tiny_cfg("TEST.ENSEMBLE", rule, "TEST.LOGIT_ADJUSTMENT", 1.0, method=CASCADE)
        results[rule] = read_json(validate(cfg, folder, place=CPU) / "results.json")
    assert results["last"]["ensemble"] == results["last"]["experts"][1] == results["mean"]["experts"][1]
    assert results["0"]["ensemble"] == results["mean"]["experts"][0]
    assert results["last"]["ensemble_of"] == [1] and results["mean"]["ensemble_of"] == [0, 1]
    assert len({found["loss"] for found in results.values()}) == 3


@pytest.mark.slow
def test_sweep_evaluates_the_chosen_heads(tiny_cfg: TinyConfig, folder: Path) -> None:
    rows = table(sweep(tiny_cfg(*LAST, method=CASCADE), folder, "logit_adjustment", place=CPU, values=[0, 1]))
    found = {(row["of"], row["logit_adjustment"]): row["top1"] for row in rows}
    assert len(found) == 6
    assert all(found["ensemble", value] == found["expert 2", value] for value in ("0", "1"))


@pytest.mark.slow
def test_calibrate_chooses_and_reports_by_the_chosen_heads(tiny_cfg: TinyConfig, folder: Path) -> None:
    choice = Calibration("TEST.LOGIT_ADJUSTMENT", (0.0, 1.0), fit_on="valid", report_on="valid")
    results = read_json(calibrate(tiny_cfg(*LAST, method=CASCADE), folder, choice, place=CPU) / "results.json")
    assert results["ensemble"] == results["experts"][1]
    assert results["calibration"]["ensemble_of"] == [1]


@pytest.mark.parametrize(("rule", "message"), [("2", "between 0 and 1"), ("middle", "allowed: 'mean', 'last'")])
def test_heads_that_do_not_exist_are_refused_before_training(tiny_cfg: TinyConfig, rule: Any, message: str) -> None:
    cfg = tiny_cfg("TEST.ENSEMBLE", rule, method=CASCADE)
    with pytest.raises(UserError, match=message):
        train(cfg)
    assert not Path(cfg.OUTPUT_DIR).exists()
