"""A sweep, from one pass over the images, equals one judgement per value."""

import csv
import json

import pytest
from longtail.engine.judging import validate
from longtail.engine.sweep import PARAMETERS, sweep
from tiny import NCL

from longtail.engine import evaluator, judging
from longtail.engine import sweep as sweep_module
from longtail.engine.training import train
from longtail.errors import UserError

SETTINGS = {
    "tau": lambda value: ("TEST.TAU_NORM.USE_TAU_NORM", True, "TEST.TAU_NORM.TAU", value),
    "logit_adjustment": lambda value: ("TEST.LOGIT_ADJUSTMENT", value),
}


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(judging, "_write_details", lambda *args: None)
    monkeypatch.setattr(sweep_module, "plot_sweep", lambda *args: None)


def table(folder, parameter):
    with open(folder / f"{parameter}_sweep.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("parameter", SETTINGS)
def test_a_sweep_agrees_with_single_judgements(tiny_cfg, parameter):
    cfg = tiny_cfg("TEST.BATCH_SIZE", 100, method=NCL)
    run = train(cfg, "x.yaml", "cpu")
    values = [0.0, 0.5, 1.5]
    rows = table(sweep(cfg, run.path, parameter, values, "cpu"), parameter)
    assert len(rows) == len(values) * 4
    seen = set()
    for value in values:
        folder = validate(tiny_cfg(*SETTINGS[parameter](value), "TEST.BATCH_SIZE", 100, method=NCL), run.path, "cpu")
        judged = json.loads((folder / "results.json").read_text())
        assert judged.get("tau_norm" if parameter == "tau" else parameter, 0.0) == value  # says what was done
        for row in (row for row in rows if float(row[parameter]) == value):
            expected = judged["ensemble"] if row["of"] == "ensemble" else judged["experts"][int(row["of"][-1]) - 1]
            for name in ("top1", "many", "medium", "few"):
                assert float(row[name]) == pytest.approx(expected[name], abs=1e-6)
        seen.add(judged["loss"])
    plain = json.loads(run.results.read_text())["best"]["ensemble"]
    assert float(rows[0]["top1"]) == pytest.approx(plain["top1"], abs=1e-6)  # a strength of zero changes nothing
    assert len(seen) > 1


def test_a_sweep_looks_at_the_images_once(tiny_cfg, monkeypatch):
    run = train(tiny_cfg(), "x.yaml", "cpu")
    passes = []
    original = sweep_module._features
    monkeypatch.setattr(sweep_module, "_features", lambda it: passes.append(1) or original(it))
    monkeypatch.setattr(evaluator, "evaluate", None)
    rows = table(sweep(tiny_cfg(), run.path, "tau", gpus="cpu"), "tau")
    assert len(passes) == 1
    assert [float(row["tau"]) for row in rows] == list(PARAMETERS["tau"].values)  # the default grid


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_strengths_that_mean_nothing_are_refused(tiny_cfg, value):
    with pytest.raises(UserError, match=r"TEST.LOGIT_ADJUSTMENT cannot be .*; it must be at least 0"):
        sweep(tiny_cfg(), None, "logit_adjustment", [value, 1.0], "cpu")


def test_tau_of_a_cosine_head_is_refused(tiny_cfg):
    cfg = tiny_cfg("CLASSIFIER.TYPE", "cos", "TRAIN.MAX_EPOCH", 1)
    run = train(cfg, "x.yaml", "cpu")
    with pytest.raises(UserError, match="needs a head with a weight matrix"):
        sweep(cfg, run.path, "tau", [1.0], "cpu")
    assert not (run.path / "evaluation").exists()
