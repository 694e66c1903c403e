"""A sweep, from one pass over the images, equals one evaluation per value."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtail.errors import UserError
from longtail.stages import evaluate as evaluate_stage
from longtail.stages import sweep as sweep_module
from longtail.stages.evaluate import validate
from longtail.stages.sweep import PARAMETERS, sweep
from tests.helpers.training import CPU, NCL, FinishedRun, TinyConfig, read_json

SETTINGS: dict[str, Callable[[float], list[Any]]] = {
    "tau": lambda value: ["TEST.TAU_NORM.USE_TAU_NORM", True, "TEST.TAU_NORM.TAU", value],
    "logit_adjustment": lambda value: ["TEST.LOGIT_ADJUSTMENT", value],
}


@pytest.fixture(autouse=True)
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_stage, "_write_details", lambda *args, **kwargs: None)
    if "figures" not in request.keywords:
        monkeypatch.setattr(sweep_module, "plot_sweep", lambda *args: None)


def table(folder: Path, parameter: str) -> list[dict[str, str]]:
    with open(folder / f"{parameter}_sweep.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("parameter", SETTINGS)
def test_sweep_agrees_with_single_evaluations(tiny_cfg: TinyConfig, finished_run: FinishedRun, parameter: str) -> None:
    keys = ["TEST.BATCH_SIZE", 100]
    run = finished_run(method=NCL)
    values = [0.0, 0.5, 1.5]
    folder = sweep(tiny_cfg(*keys, method=NCL), run.path, parameter, place=CPU, values=[1.5, 0.5, 0.5, 0.0])
    rows = table(folder, parameter)
    assert len(rows) == len(values) * 4
    losses = set()
    for value in values:
        cfg = tiny_cfg(*SETTINGS[parameter](value), *keys, method=NCL)
        evaluated = read_json(validate(cfg, run.path, place=CPU) / "results.json")
        assert evaluated.get("tau_norm" if parameter == "tau" else parameter, 0.0) == value
        for row in (row for row in rows if float(row[parameter]) == value):
            expert = row["of"] != "ensemble"
            expected = evaluated["experts"][int(row["of"][-1]) - 1] if expert else evaluated["ensemble"]
            for name in ("top1", "many", "medium", "few"):
                assert float(row[name]) == pytest.approx(expected[name], abs=1e-6)
        losses.add(evaluated["loss"])
    plain = read_json(run.results)["best"]["ensemble"]
    assert float(rows[0]["top1"]) == pytest.approx(plain["top1"], abs=1e-6)  # a strength of zero changes nothing
    assert len(losses) > 1


@pytest.mark.slow
@pytest.mark.figures
def test_sweep_makes_one_pass_over_the_default_grid(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    original = sweep_module.collect_features

    def collect(*args: Any) -> Any:
        passes.append(1)
        return original(*args)

    monkeypatch.setattr(sweep_module, "collect_features", collect)
    folder = sweep(tiny_cfg(), finished_run().path, "tau", place=CPU)
    assert len(passes) == 1
    ensemble = [row for row in table(folder, "tau") if row["of"] == "ensemble"]
    assert [float(row["tau"]) for row in ensemble] == list(PARAMETERS["tau"].values)
    assert {path.name for path in folder.iterdir()} == {"tau_sweep.csv", "tau_sweep.png"}


@pytest.mark.parametrize("value", [-0.5, math.nan, math.inf])
def test_sweep_refuses_strengths_without_meaning(tiny_cfg: TinyConfig, tmp_path: Path, value: float) -> None:
    with pytest.raises(UserError, match=r"^TEST.LOGIT_ADJUSTMENT is \S+; it must be between 0 and"):
        sweep(tiny_cfg(), tmp_path, "logit_adjustment", place=CPU, values=[value, 1.0])


@pytest.mark.slow
def test_sweep_of_tau_refuses_a_cosine_head(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    keys = ["CLASSIFIER.TYPE", "cos", "TRAIN.MAX_EPOCH", 1]
    run = finished_run(*keys)
    with pytest.raises(UserError, match="needs a head with a weight matrix"):
        sweep(tiny_cfg(*keys), run.path, "tau", place=CPU, values=[1.0])
    assert not (run.path / "evaluation").exists()
