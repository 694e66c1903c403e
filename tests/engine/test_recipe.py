"""Whole recipes on Digits-LT: run, stopped, continued, run again, and with an earlier stage changed."""

import json
from pathlib import Path

import pytest
import torch
from longtail.engine.recipe import run_recipe
from longtail.engine.run_directory import RunDirectory
from test_resume import assert_same, stop_after, values

from longtail.engine import cam_generation, judging, recipe
from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from longtail.models import read_weights

CRT = """
name: crt
stages:
  - name: baseline
    config: first.yaml
  - name: classifier
    config: second.yaml
    take:
      NETWORK.PRETRAINED_MODEL: last of baseline
  - name: tau_norm
    judge: last of baseline
    set:
      TEST.TAU_NORM.USE_TAU_NORM: True
"""


@pytest.fixture
def start(tmp_path, tiny_cfg, monkeypatch):
    """Return a function that runs a recipe and returns its summary, {stage: entry}."""
    monkeypatch.setattr(judging, "_write_details", lambda *args: None)
    (tmp_path / "first.yaml").write_text(tiny_cfg("SAVE_STEP", -1).dump())
    (tmp_path / "second.yaml").write_text("_BASE_: first.yaml\nNETWORK: {PRETRAINED: True}\nCLASSIFIER: {TYPE: cRT}\n")

    def run(*overrides, resume="auto", text=CRT):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        summary = json.loads(Path(run_recipe(str(path), "cpu", resume, overrides)).read_text())
        return {stage["stage"]: stage for stage in summary["stages"]}

    return run


def run_of(stage) -> RunDirectory:
    return RunDirectory(Path(stage["run"]))


def test_a_recipe_runs_its_stages_and_sums_them_up(start, tmp_path):
    stages = start()
    assert list(stages) == ["baseline", "classifier", "tau_norm"]
    for name, stage in stages.items():
        assert Path(stage["run"]).parent == tmp_path / "output" / "crt" / name
    first, second = (read_weights(run_of(stages[name]).last) for name in ("baseline", "classifier"))
    same = {name for name in first if torch.equal(first[name], second[name])}
    assert same == {name for name in first if "head" not in name}
    last = json.loads(run_of(stages["classifier"]).results.read_text())["last"]
    assert stages["classifier"]["last"] == last
    assert stages["classifier"]["epochs"] == 3 and stages["classifier"]["seconds"] > 0
    inputs = stages["classifier"]["inputs"]["NETWORK.PRETRAINED_MODEL"]
    assert Path(inputs["file"]) == run_of(stages["baseline"]).last
    assert len(inputs["sha256"]) == 64


def test_a_judging_stage_says_what_the_same_command_says(start, tiny_cfg):
    stages = start()
    baseline = run_of(stages["baseline"]).path
    cfg = tiny_cfg("TEST.TAU_NORM.USE_TAU_NORM", True, "TEST.MODEL_FILE", "last.pth")
    judged = json.loads((judging.validate(cfg, baseline, "cpu") / "results.json").read_text())
    assert stages["tau_norm"]["last"] == {"epoch": 3, "ensemble": judged["ensemble"], "experts": judged["experts"]}
    (folder,) = (run_of(stages["tau_norm"]).path / "evaluation").iterdir()
    written = json.loads((folder / "results.json").read_text())
    assert written["tau_norm"] == 1.0
    assert written["loss"] == judged["loss"]


def test_a_finished_recipe_does_nothing(start, tmp_path, monkeypatch):
    first = start()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "output").rglob("*") if path.name != "summary.json"}
    monkeypatch.setattr(recipe, "train", None)
    monkeypatch.setattr(recipe, "validate", None)
    assert start() == first
    files = {path: time for path, time in files.items() if path.is_file()}
    assert files == {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.parametrize("steps", [3, 17], ids=["first-stage", "second-stage"])
def test_a_stopped_recipe_ends_as_one_that_was_not(start, monkeypatch, steps):
    whole = start("NAME", "whole")
    with monkeypatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted):
            start()
    torch.manual_seed(999)
    resumed = start()
    for name in ("baseline", "classifier"):
        one, other = run_of(whole[name]), run_of(resumed[name])
        assert len(list(other.path.parent.iterdir())) == 1
        assert_same(values(one), values(other))
    assert resumed["tau_norm"]["last"] == whole["tau_norm"]["last"]


def test_another_first_stage_makes_the_later_ones_begin_anew(start):
    before = start()
    after = start("baseline:RAND_SEED", "7")
    assert not {stage["run"] for stage in before.values()} & {stage["run"] for stage in after.values()}
    assert start() == before  # both are still there


def test_a_checkpoint_that_was_exchanged_makes_the_later_stages_begin_anew(start):
    before = start()
    other = start("NAME", "other", "RAND_SEED", "7")
    run_of(before["baseline"]).last.write_bytes(run_of(other["baseline"]).last.read_bytes())
    after = start()
    assert after["baseline"]["run"] == before["baseline"]["run"]
    for name in ("classifier", "tau_norm"):
        assert after[name]["run"] != before[name]["run"]


def test_a_half_trained_stage_does_not_go_on_from_another_checkpoint(start, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(17, patch)
        with pytest.raises(Interrupted):
            start()
    other = start("NAME", "other", "RAND_SEED", "7")
    (baseline,) = (Path(other["baseline"]["run"]).parents[2] / "crt" / "baseline").iterdir()
    RunDirectory(baseline).last.write_bytes(run_of(other["baseline"]).last.read_bytes())
    runs = list(run_of(start()["classifier"]).path.parent.iterdir())
    assert len(runs) == 2


def test_other_settings_of_a_later_stage_leave_the_earlier_ones_alone(start):
    before = start()
    after = start("classifier:TRAIN.MAX_EPOCH", "1")
    assert after["baseline"] == before["baseline"] and after["tau_norm"] == before["tau_norm"]
    assert after["classifier"]["epochs"] == 1


def test_never_runs_everything_anew(start):
    before, after = start(), start(resume="never")
    assert not {stage["run"] for stage in before.values()} & {stage["run"] for stage in after.values()}
    assert {name: stage["last"] for name, stage in before.items()} == {
        name: stage["last"] for name, stage in after.items()
    }


def test_two_processes_do_not_run_one_recipe(start, tmp_path):
    folder = tmp_path / "output" / "crt"
    folder.mkdir(parents=True)
    other = RunDirectory(folder)
    assert other.lock()
    with pytest.raises(UserError, match="another process is running the recipe"):
        start()
    other.unlock()


@pytest.mark.parametrize("taken", ["best", "best_single", "epoch_2"])
def test_every_kind_of_checkpoint_can_be_taken(start, taken):
    stages = start("SAVE_STEP", "2", text=CRT.replace("last of", f"{taken} of"))
    name = {"best": "best_ensemble", "best_single": "best_single", "epoch_2": "epoch_2"}[taken]
    assert Path(stages["classifier"]["inputs"]["NETWORK.PRETRAINED_MODEL"]["file"]).stem == name
    epochs = {"best": stages["baseline"]["best"]["epoch"], "epoch_2": 2}
    epochs["best_single"] = stages["baseline"]["best_single"]["epoch"]
    assert stages["tau_norm"]["last"]["epoch"] == epochs[taken]


def test_generated_images_are_made_once_and_trained_on(start, tmp_path, monkeypatch):
    text = """
name: cam
stages:
  - {name: first, config: first.yaml}
  - name: images
    config: first.yaml
    set: {DATASET.GENERATE_CAM_BASED_DATASET: True, NETWORK.PRETRAINED: True}
    take: {NETWORK.PRETRAINED_MODEL: best of first}
  - name: second
    config: first.yaml
    set:
      DATASET.USE_CAM_BASED_DATASET: True
      NETWORK.PRETRAINED: True
      TRAIN.SAMPLER.TYPE: weighted sampler
    take:
      NETWORK.PRETRAINED_MODEL: last of first
      DATASET.CAM_DATA_JSON_SAVE_PATH: data of images
"""
    with monkeypatch.context() as patch:
        chunk = cam_generation._Work._chunk

        def interrupted(self, *args):
            chunk(self, *args)
            raise Interrupted(15, "stopped")

        patch.setattr(cam_generation._Work, "_chunk", interrupted)
        with pytest.raises(Interrupted):
            start(text=text)
    (half,) = (tmp_path / "output" / "cam" / "images").iterdir()
    made = {path.name: path.stat().st_mtime_ns for path in (half / "images").glob("*.png")}
    assert made and not (half / "generated.json").exists()

    stages = start(text=text)
    assert Path(stages["images"]["run"]) == half  # the half-made folder went on
    assert all((half / "images" / name).stat().st_mtime_ns == time for name, time in made.items())
    listed = json.loads((half / "generated.json").read_text())["annotations"]
    assert len(listed) == len(list((half / "images").glob("*.png"))) > len(made)
    assert stages["images"]["data"] == stages["second"]["inputs"]["DATASET.CAM_DATA_JSON_SAVE_PATH"]["file"]
    assert stages["second"]["last"]["epoch"] == 3
    assert start(text=text) == stages
