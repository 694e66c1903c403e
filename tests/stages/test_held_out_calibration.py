"""Calibration without a test split: chosen on a part of the validation images, reported on the rest."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.config import changed, load_config
from longtail.data import build_splits
from longtail.errors import UserError
from longtail.runs.named import find_run
from longtail.stages.calibrate import calibrate, held_out
from longtail.stages.calibration_spec import Calibration, read_calibration
from longtail.stages.evaluate import evaluation_setup, validate
from longtail.stages.recipe import run_recipe
from longtail.stages.recipe_file import load_recipe
from longtail.stages.sweep import collect_features, part_of
from tests.helpers.training import CASCADE, CPU, FinishedRun, TinyConfig, read_json

CHOICE = Calibration("TEST.LOGIT_ADJUSTMENT", (0.0, 1.0, 2.0), hold_out=0.3)
ENTRY = {"over": "TEST.LOGIT_ADJUSTMENT", "values": [0, 1]}


@pytest.fixture
def folder(finished_run: FinishedRun) -> Path:
    return finished_run(method=CASCADE).path


def test_held_out_takes_a_fraction_of_every_class() -> None:
    labels = torch.tensor([0] * 10 + [1] * 20 + [2] * 3 + [3] * 5)[torch.randperm(38)]
    chosen = held_out(labels, 0.3, seed=1)
    assert torch.bincount(labels[chosen], minlength=4).tolist() == [3, 6, 1, 2]
    assert torch.equal(chosen, held_out(labels, 0.3, seed=1))
    assert not torch.equal(chosen, held_out(labels, 0.3, seed=2))
    assert not held_out(torch.zeros(1, dtype=torch.int64), 0.3, seed=0).any()


@pytest.mark.slow
def test_the_two_parts_are_disjoint_and_cover_the_split(tiny_cfg: TinyConfig, folder: Path) -> None:
    cfg = tiny_cfg("TEST.BATCH_SIZE", 100, method=CASCADE)
    with evaluation_setup(cfg, folder, place=CPU) as setup:
        encoded = collect_features(setup, setup.loader)
        chosen = held_out(setup.splits.valid.labels, 0.3, seed=0)
        parts = [part_of(encoded, chosen), part_of(encoded, ~chosen)]
        indices = [torch.cat([batch.indices for batch in part]) for part in parts]
        assert torch.equal(torch.cat(indices).sort().values, torch.arange(len(setup.splits.valid)))
        for batch in (batch for part in parts for batch in part):
            assert torch.equal(batch.labels, setup.splits.valid.labels[batch.indices])
            assert [len(feature) for feature in batch.features] == [len(batch.labels)] * 2


@pytest.mark.slow
def test_calibrate_reports_the_images_that_did_not_choose(tiny_cfg: TinyConfig, folder: Path) -> None:
    cfg = tiny_cfg(method=CASCADE)
    results = read_json(calibrate(cfg, folder, CHOICE, place=CPU) / "results.json")
    choice = results["calibration"]
    assert (choice["fit_on"], choice["report_on"]) == ("valid", "rest of valid")
    assert choice["hold_out"] == 0.3 and not choice["same_split"]
    labels = build_splits(cfg).valid.labels
    reported = int((~held_out(labels, 0.3, seed=cfg.RAND_SEED)).sum())
    right = results["ensemble"]["top1"] * reported
    assert right == pytest.approx(round(right), abs=1e-6)  # a fraction of the reported images
    assert choice["fit_top1"][choice["values"].index(choice["value"])] == max(choice["fit_top1"])


@pytest.mark.slow
def test_evaluation_of_the_images_of_the_choice_is_noted(
    tiny_cfg: TinyConfig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = calibrate(tiny_cfg(method=CASCADE), folder, CHOICE, place=CPU)
    cfg = load_config(find_run(output)[1])
    results = read_json(validate(cfg, output, place=CPU) / "results.json")
    noted = {"key": CHOICE.over, "fit_on": "valid", "hold_out": 0.3, "same_split": True}
    assert results["calibration"] == noted
    assert f"{CHOICE.over} was chosen on 30 % of these images, which overstates the result" in caplog.text
    other = changed(cfg, CHOICE.over, 0.7)
    assert "calibration" not in read_json(validate(other, output, place=CPU) / "results.json")


@pytest.mark.slow
def test_evaluation_of_other_images_than_those_of_the_choice_is_not_noted(tiny_cfg: TinyConfig, folder: Path) -> None:
    output = calibrate(tiny_cfg(method=CASCADE), folder, CHOICE, place=CPU)
    content = read_json(output / "results.json")
    content["calibration"]["fit_images"] = "others"
    (output / "results.json").write_text(json.dumps(content))
    results = read_json(validate(load_config(find_run(output)[1]), output, place=CPU) / "results.json")
    assert "calibration" not in results


def test_hold_out_is_not_used_where_there_is_a_test_split(tiny_cfg: TinyConfig) -> None:
    cfg = tiny_cfg("DATASET.TEST_JSON", "test.json")
    assert CHOICE.resolved(has_test=True) == Calibration("TEST.LOGIT_ADJUSTMENT", (0.0, 1.0, 2.0))
    Calibration("TEST.LOGIT_ADJUSTMENT", (0.0,)).check(cfg)
    with pytest.raises(UserError, match="set hold_out to a fraction"):
        Calibration("TEST.LOGIT_ADJUSTMENT", (0.0,)).check(tiny_cfg())
    CHOICE.check(tiny_cfg())


def test_test_split_that_is_held_out_of_own_images_is_one(tiny_cfg: TinyConfig, tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(4):
            (tmp_path / label / f"{number}.png").touch()  # only the names are read
    own = ("DATASET.DATASET", "own", "DATASET.ROOT", str(tmp_path))
    choice = Calibration("TEST.LOGIT_ADJUSTMENT", (0.0,))
    choice.check(tiny_cfg(*own, "DATASET.HOLD_OUT.TEST", 1))
    with pytest.raises(UserError, match=r"DATASET.HOLD_OUT.TEST for your own images"):
        choice.check(tiny_cfg(*own))


@pytest.mark.parametrize("value", [1, 1.5, -0.1, True, "half"])
def test_read_calibration_refuses_fractions_that_are_none(value: Any) -> None:
    with pytest.raises(UserError, match="hold_out is"):
        read_calibration({**ENTRY, "hold_out": value}, "stage")


def test_empty_config_means_the_configs_before_the_recipe() -> None:
    recipe = load_recipe("digits_lt,cadel_r32,compensated")
    assert recipe.stages[0].config == ("digits_lt", "cadel_r32")
    with pytest.raises(UserError, match="name configs before the recipe"):
        load_recipe("compensated")


@pytest.mark.slow
def test_cadel_recipe_runs_and_resumes(tmp_path: Path) -> None:
    small = ("TRAIN.MAX_EPOCH", "1", "NETWORK.CASCADE.WIDTH", "8", "TRAIN.BATCH_SIZE", "138", "VALID_STEP", "1")
    overrides = ("OUTPUT_DIR", str(tmp_path), "TRAIN.TENSORBOARD.ENABLE", "False", *small)
    for _ in range(2):
        summary = read_json(run_recipe("digits_lt,cadel", place=CPU, overrides=overrides))
        train, compensated = summary["stages"]
        assert len(train["last"]["experts"]) == len(compensated["last"]["experts"]) == 3
        assert compensated["calibration"]["report_on"] == "rest of valid"
    assert len(list((tmp_path / "digits_lt_cadel" / "compensated").iterdir())) == 1


@pytest.mark.parametrize(("fraction", "missing"), [(1e-6, "choose on"), (1 - 1e-6, "report")])
def test_hold_out_that_leaves_a_split_empty_is_refused(
    tiny_cfg: TinyConfig, folder: Path, fraction: float, missing: str
) -> None:
    choice = Calibration("TEST.TEMPERATURE", hold_out=fraction, objective="nll")
    with pytest.raises(UserError, match=f"leaves no images to {missing}"):
        calibrate(tiny_cfg(method=CASCADE), folder, choice, place=CPU)


@pytest.mark.slow
def test_temperature_and_offsets_on_held_out_images_of_several_heads(tiny_cfg: TinyConfig, folder: Path) -> None:
    for over, objective in (("TEST.TEMPERATURE", "nll"), ("TEST.CLASS_OFFSETS", "balanced_accuracy")):
        choice = Calibration(over, hold_out=0.5, objective=objective)
        output = calibrate(tiny_cfg(method=CASCADE), folder, choice, place=CPU)
        found = read_json(output / "results.json")["calibration"]
        sign = -1 if objective == "nll" else 1
        assert sign * found["fit_with"][objective] >= sign * found["fit_without"][objective]
        assert found["report_on"] == "rest of valid"
