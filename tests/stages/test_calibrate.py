"""The strength of a correction is chosen on one split and reported on another."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longtail.config import load_config, to_yaml
from longtail.data import build_splits
from longtail.errors import UserError
from longtail.runs.named import find_run
from longtail.stages import calibrate as calibrate_stage
from longtail.stages import evaluate as evaluate_stage
from longtail.stages.calibrate import calibrate
from longtail.stages.calibration_spec import Calibration
from longtail.stages.evaluate import validate
from longtail.stages.recipe import run_recipe
from tests.helpers.training import CPU, FinishedRun, TinyConfig, read_json

STRENGTH = "TEST.LOGIT_ADJUSTMENT"
VALUES = (0.0, 0.5, 1.0, 2.0)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_stage, "_write_details", lambda *args, **kwargs: None)
    monkeypatch.setattr(calibrate_stage, "plot_sweep", lambda *args: None)


@pytest.fixture
def test_split(tmp_path: Path, tiny_cfg: TinyConfig) -> list[Any]:
    """Return the keys of a test split: 60 of the validation digits as files."""
    valid = build_splits(tiny_cfg()).valid
    pixels, entries = valid.load(), []
    for number in range(60):
        Image.fromarray(np.asarray(pixels[number].permute(1, 2, 0))).save(tmp_path / f"{number}.png")
        entries.append({"fpath": f"{number}.png", "category_id": int(valid.labels[number])})
    (tmp_path / "test.json").write_text(json.dumps({"annotations": entries, "num_classes": 10}))
    return ["DATASET.TEST_JSON", str(tmp_path / "test.json")]


def accuracy(cfg: Any, folder: Path) -> Any:
    return read_json(validate(cfg, folder, place=CPU) / "results.json")["ensemble"]


@pytest.mark.slow
def test_calibrate_chooses_on_one_split_and_reports_another(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, test_split: list[Any]
) -> None:
    run = finished_run()
    folder = calibrate(tiny_cfg(*test_split), run.path, Calibration(STRENGTH, VALUES), place=CPU)
    content = read_json(folder / "results.json")
    choice = content["calibration"]
    fitted = [accuracy(tiny_cfg(STRENGTH, value), run.path)["top1"] for value in VALUES]
    assert choice["fit_top1"] == pytest.approx(fitted)
    assert choice["value"] == VALUES[fitted.index(max(fitted))] > 0
    assert (choice["key"], choice["fit_on"], choice["report_on"]) == (STRENGTH, "valid", "test")
    assert choice["same_split"] is False and content["split"] == "test"
    on_test = ["DATASET.VALID_JSON", test_split[1]]
    assert content["ensemble"] == pytest.approx(accuracy(tiny_cfg(*on_test, STRENGTH, choice["value"]), run.path))
    assert choice["without"] == pytest.approx(accuracy(tiny_cfg(*on_test), run.path))
    with open(folder / "logit_adjustment_sweep.csv") as file:
        assert {float(row["logit_adjustment"]) for row in csv.DictReader(file)} == set(VALUES)


@pytest.mark.slow
def test_calibrate_on_the_reported_split_is_noted(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, caplog: pytest.LogCaptureFixture
) -> None:
    calibration = Calibration("TEST.TAU_NORM.TAU", (1.0, 1.0, 0.0), "valid", "valid")
    with caplog.at_level("INFO", "longtail"):
        folder = calibrate(tiny_cfg(), finished_run().path, calibration, place=CPU)
    choice = read_json(folder / "results.json")["calibration"]
    assert choice["same_split"] is True
    assert "chosen on the reported split, which overstates the result" in caplog.text


@pytest.mark.slow
def test_calibrating_stage_of_a_recipe(
    tiny_cfg: TinyConfig, tmp_path: Path, test_split: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first.yaml").write_text(to_yaml(tiny_cfg(*test_split)))
    stages = [
        {"name": "baseline", "config": "first.yaml"},
        {"name": "adjusted", "calibrate": "last of baseline", "over": STRENGTH, "values": list(VALUES)},
    ]
    (tmp_path / "recipe.yaml").write_text(json.dumps({"name": "calibrated", "stages": stages}))
    first = read_json(run_recipe(str(tmp_path / "recipe.yaml"), place=CPU))
    adjusted = first["stages"][1]
    assert adjusted["calibration"]["key"] == STRENGTH and adjusted["epochs"] == 0
    (folder,) = (Path(adjusted["run"]) / "evaluation").iterdir()
    assert Path(find_run(adjusted["run"])[1]).read_text() == (folder / "calibrated.yaml").read_text()
    assert adjusted["last"]["ensemble"] == read_json(folder / "results.json")["ensemble"]
    monkeypatch.setattr("longtail.stages.recipe.calibrate", None)
    assert read_json(run_recipe(str(tmp_path / "recipe.yaml"), place=CPU)) == first


@pytest.mark.slow
def test_calibrate_temperature_keeps_the_predictions_and_lowers_the_nll(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, test_split: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    cfg = tiny_cfg(*test_split, STRENGTH, 1.0)
    with caplog.at_level("INFO", "longtail"):
        folder = calibrate(cfg, finished_run().path, Calibration("TEST.TEMPERATURE", objective="nll"), place=CPU)
    content = read_json(folder / "results.json")
    choice = content["calibration"]
    assert choice["key"] == "TEST.TEMPERATURE" and choice["value"] > 0 and "fit_top1" not in choice
    assert choice["fit_with"]["nll"] < choice["fit_without"]["nll"]
    for metric in ("top1", "macro_f1"):
        assert content["ensemble"][metric] == choice["without"][metric]
    assert choice["without"]["ece"] != content["ensemble"]["ece"]
    assert choice["without"] == pytest.approx(
        accuracy(tiny_cfg("DATASET.VALID_JSON", test_split[1], STRENGTH, 1.0), finished_run().path)
    )
    with open(folder / "calibration.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["split"], row["temperature"]) for row in rows] == [
        *(("valid", "without"), ("valid", "with"), ("test", "without"), ("test", "with"))
    ]
    assert "TEST.TEMPERATURE" in caplog.text and "ece" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "calibration",
    [Calibration("TEST.TEMPERATURE", objective="nll"), Calibration("TEST.CLASS_OFFSETS", objective="macro_f1")],
)
def test_calibrated_config_gives_the_reported_results(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, test_split: list[Any], calibration: Calibration
) -> None:
    folder = calibrate(tiny_cfg(*test_split), finished_run().path, calibration, place=CPU)
    content = read_json(folder / "results.json")
    config = Path(find_run(folder)[1])
    assert config.name == "calibrated.yaml"
    evaluated = validate(load_config(config, ["DATASET.VALID_JSON", test_split[1]]), folder, place=CPU)
    results = read_json(evaluated / "results.json")
    assert results["ensemble"] == pytest.approx(content["ensemble"])
    name = calibration.over.partition(".")[2].lower()
    assert results[name] == content["calibration"]["value"]
    if calibration.objective == "macro_f1":
        assert content["calibration"]["fit_with"]["macro_f1"] > content["calibration"]["fit_without"]["macro_f1"]


@pytest.mark.slow
def test_calibrated_temperature_is_the_best_one_under_a_prior(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, test_split: list[Any]
) -> None:
    prior, path = ["TEST.PRIOR", "reversed"], finished_run().path
    folder = calibrate(
        tiny_cfg(*test_split, *prior, "TEST.TEMPERATURE", 3.0),
        path,
        Calibration("TEST.TEMPERATURE", objective="nll"),
        place=CPU,
    )
    best = read_json(folder / "results.json")["calibration"]["value"]
    nll = [accuracy(tiny_cfg(*prior, "TEST.TEMPERATURE", best * factor), path)["nll"] for factor in (0.95, 1, 1.05)]
    assert 0.1 < best < 10 and nll[1] == min(nll)


@pytest.mark.slow
def test_class_offsets_do_not_depend_on_the_temperature(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, test_split: list[Any]
) -> None:
    calibration = Calibration("TEST.CLASS_OFFSETS", objective="macro_f1")
    values = []
    for temperature in (1.0, 4.0):
        cfg = tiny_cfg(*test_split, "TEST.TEMPERATURE", temperature)
        folder = calibrate(cfg, finished_run().path, calibration, place=CPU)
        values.append(read_json(folder / "results.json")["calibration"]["value"])
    assert values[0] == values[1] != [0.0] * 10


@pytest.mark.slow
def test_class_offsets_of_another_number_of_classes_are_refused(
    tiny_cfg: TinyConfig, finished_run: FinishedRun
) -> None:
    with pytest.raises(UserError, match=r"TEST.CLASS_OFFSETS has 2 values; it must have 10"):
        validate(tiny_cfg("TEST.CLASS_OFFSETS", [1.0, 2.0]), finished_run().path, place=CPU)
