"""Whole recipes on Digits-LT: run, stopped, resumed, run again, and with an earlier stage changed."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.checkpoint_file import save_checkpoint
from longtail.config import to_yaml
from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from longtail.models import read_weights
from longtail.runs.directory import RunDirectory
from longtail.stages import evaluate as evaluate_stage
from longtail.stages import generate as generate_stage
from longtail.stages import recipe
from longtail.stages.evaluate import validate
from longtail.stages.recipe import run_recipe
from tests.helpers.training import CPU, TinyConfig, assert_same, read_json, stop_after, values

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
    evaluate: last of baseline
    set:
      TEST.TAU_NORM.USE_TAU_NORM: True
"""
CAM = """
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
Stages = dict[str, dict[str, Any]]  # name -> entry of summary.json
Start = Callable[..., Stages]
SECOND_STAGE = 17  # a step of the second stage; the first has 12


@pytest.fixture
def start(tmp_path: Path, tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that runs a recipe and returns its summary."""
    monkeypatch.setattr(evaluate_stage, "_write_details", lambda *args, **kwargs: None)
    (tmp_path / "first.yaml").write_text(to_yaml(tiny_cfg("SAVE_STEP", -1)))
    (tmp_path / "second.yaml").write_text("_BASE_: first.yaml\nNETWORK: {PRETRAINED: True}\nCLASSIFIER: {TYPE: cRT}\n")

    def run(*overrides: str, resume: str = "auto", text: str = CRT) -> Stages:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        summary = read_json(run_recipe(str(path), place=CPU, resume=resume, overrides=overrides))
        return {stage["stage"]: stage for stage in summary["stages"]}

    return run


def run_of(stage: dict[str, Any]) -> RunDirectory:
    return RunDirectory(Path(stage["run"]))


def stop(start: Start, steps: int, **options: Any) -> None:
    """Run a recipe until a signal arrives in the given step."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted):
            start(**options)


def paths(stages: Stages) -> set[str]:
    return {stage["run"] for stage in stages.values()}


@pytest.mark.slow
def test_recipe_runs_and_sums_up_its_stages(start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "longtail"):
        stages = start()
    assert list(stages) == ["baseline", "classifier", "tau_norm"]
    assert "stage 2 of 3: classifier" in caplog.messages
    for name, stage in stages.items():
        assert Path(stage["run"]).parent == tmp_path / "output" / "crt" / name
    first, second = (read_weights(run_of(stages[name]).last) for name in ("baseline", "classifier"))
    same = {name for name in first if torch.equal(first[name], second[name])}
    assert same == {name for name in first if "head" not in name}
    assert stages["classifier"]["last"] == read_json(run_of(stages["classifier"]).results)["last"]
    assert stages["classifier"]["epochs"] == 3 and stages["classifier"]["seconds"] > 0
    inputs = stages["classifier"]["inputs"]["NETWORK.PRETRAINED_MODEL"]
    assert Path(inputs["file"]) == run_of(stages["baseline"]).last
    assert len(inputs["sha256"]) == 64


@pytest.mark.slow
def test_evaluating_stage_has_the_results_of_the_same_command(start: Start, tiny_cfg: TinyConfig) -> None:
    stages = start()
    cfg = tiny_cfg("TEST.TAU_NORM.USE_TAU_NORM", True, "TEST.MODEL_FILE", "last.pth")
    evaluated = read_json(validate(cfg, run_of(stages["baseline"]).path, place=CPU) / "results.json")
    entry = {"epoch": 3, "ensemble": evaluated["ensemble"], "experts": evaluated["experts"]}
    assert stages["tau_norm"]["last"] == stages["tau_norm"]["best"] == entry
    (folder,) = (run_of(stages["tau_norm"]).path / "evaluation").iterdir()
    written = read_json(folder / "results.json")
    assert written["tau_norm"] == 1.0
    assert written["loss"] == evaluated["loss"]


@pytest.mark.slow
def test_finished_recipe_does_nothing(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start()
    output = [path for path in (tmp_path / "output").rglob("*") if path.is_file() and path.name != "summary.json"]
    files = {path: path.stat().st_mtime_ns for path in output}
    monkeypatch.setattr(recipe, "train", None)
    monkeypatch.setattr(recipe, "validate", None)
    assert start() == first
    other = CRT.replace("name: crt", "name: other")
    assert start("NAME", "crt", text=other) == first  # recipes of one NAME share stages
    assert files == {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("steps", [3, SECOND_STAGE], ids=["first_stage", "second_stage"])
def test_stopped_recipe_resumes_bit_by_bit(start: Start, steps: int) -> None:
    whole = start("NAME", "whole")
    stop(start, steps)
    torch.manual_seed(999)
    resumed = start()
    for name in ("baseline", "classifier"):
        one, other = run_of(whole[name]), run_of(resumed[name])
        assert len(list(other.path.parent.iterdir())) == 1
        first, second = values(one), values(other)
        for state in (*first[::2], *second[::2]):
            state.pop("weights")  # names the file of the first stage
        assert_same(first, second)
    assert resumed["tau_norm"]["last"] == whole["tau_norm"]["last"]


@pytest.mark.slow
def test_other_first_stage_starts_the_later_ones_again(start: Start) -> None:
    before = start()
    after = start("baseline:RAND_SEED", "7")
    assert not paths(before) & paths(after)
    assert start() == before  # both still exist


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["exchange", "lose"])
def test_stage_whose_output_has_changed_is_trained_again(
    start: Start, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = start()
    last = run_of(before["baseline"]).last
    if damage == "exchange":
        save_checkpoint(last, {"model": {}})
    else:
        last.unlink()
    after = start()
    changed = f"{before['baseline']['run']} has changed since it was written: models/last.pth"
    assert f"{changed}; the stage is trained again" in caplog.messages
    assert after["baseline"]["run"] != before["baseline"]["run"]
    assert after["baseline"]["last"] == before["baseline"]["last"]
    assert start() == after


@pytest.mark.slow
def test_changed_output_of_a_later_stage_leaves_the_earlier_ones(start: Start) -> None:
    before = start()
    run_of(before["classifier"]).last.unlink()
    after = start()
    assert after["baseline"]["run"] == before["baseline"]["run"]
    assert after["tau_norm"]["run"] == before["tau_norm"]["run"]
    assert after["classifier"]["run"] != before["classifier"]["run"]


@pytest.mark.slow
def test_stopped_stage_does_not_resume_from_another_checkpoint(start: Start) -> None:
    stop(start, SECOND_STAGE)
    stages = start("baseline:RAND_SEED", "7")
    assert len(list(run_of(stages["classifier"]).path.parent.iterdir())) == 2


@pytest.mark.slow
def test_other_settings_of_a_later_stage_leave_the_earlier_ones(start: Start) -> None:
    before = start()
    after = start("classifier:TRAIN.MAX_EPOCH", "1")
    assert after["baseline"] == before["baseline"] and after["tau_norm"] == before["tau_norm"]
    assert after["classifier"]["epochs"] == 1


@pytest.mark.slow
def test_never_runs_every_stage_again(start: Start) -> None:
    before, after = start(), start(resume="never")
    assert not paths(before) & paths(after)
    assert [stage["last"] for stage in before.values()] == [stage["last"] for stage in after.values()]


def test_two_processes_do_not_run_one_recipe(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "output" / "crt"
    folder.mkdir(parents=True)
    other = RunDirectory(folder)
    assert other.lock()
    with pytest.raises(UserError, match=f"^another process is running the recipe in {folder}$"):
        start()
    other.unlock()


@pytest.mark.slow
@pytest.mark.parametrize("taken", ["best", "best_single", "epoch_2"])
def test_every_kind_of_checkpoint_can_be_taken(start: Start, taken: str) -> None:
    stages = start("SAVE_STEP", "2", text=CRT.replace("last of", f"{taken} of"))
    name = {"best": "best_ensemble", "best_single": "best_single", "epoch_2": "epoch_2"}[taken]
    assert Path(stages["classifier"]["inputs"]["NETWORK.PRETRAINED_MODEL"]["file"]).stem == name
    epoch = 2 if taken == "epoch_2" else stages["baseline"][taken]["epoch"]
    assert stages["tau_norm"]["last"]["epoch"] == epoch


@pytest.mark.slow
def test_generated_images_are_made_once_and_trained_on(start: Start, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        original = generate_stage._Generator._chunk

        def interrupted(self: Any, *args: Any, **options: Any) -> None:
            original(self, *args, **options)
            raise Interrupted(15, "stopped")

        patch.setattr(generate_stage._Generator, "_chunk", interrupted)
        with pytest.raises(Interrupted):
            start(text=CAM)
    (half,) = (tmp_path / "output" / "cam" / "images").iterdir()
    made = {path.name: path.stat().st_mtime_ns for path in (half / "images").glob("*.png")}
    assert made and not (half / "generated.json").exists()

    stages = start(text=CAM)
    assert Path(stages["images"]["run"]) == half  # the half-made folder was resumed
    assert all((half / "images" / name).stat().st_mtime_ns == time for name, time in made.items())
    listed = json.loads((half / "generated.json").read_text())["annotations"]
    assert len(listed) == len(list((half / "images").glob("*.png"))) > len(made)
    assert stages["images"]["data"] == stages["second"]["inputs"]["DATASET.CAM_DATA_JSON_SAVE_PATH"]["file"]
    assert stages["second"]["last"]["epoch"] == 3
    assert start(text=CAM) == stages


@pytest.mark.slow
@pytest.mark.parametrize("file", ["generated.json", "results.json", "images/generation.json", "inputs.json"])
@pytest.mark.parametrize("damage", ["lose", "cut", "exchange"])
def test_damaged_files_of_generated_images_are_made_again(start: Start, file: str, damage: str) -> None:
    before = start(text=CAM)
    path = Path(before["images"]["run"]) / file
    content = path.read_text()
    path.unlink()
    if damage != "lose":
        path.write_text(content[: len(content) // 2] if damage == "cut" else '{"finished": true, "annotations": []}')
    after = start(text=CAM)
    for name, stage in after.items():
        assert stage.get("last") == before[name].get("last")
    assert start(text=CAM) == after
    if file == "generated.json":
        assert path.read_text() == content


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["baseline", "tau_norm"])
def test_changed_results_are_computed_again(start: Start, stage: str) -> None:
    before = start()
    path = run_of(before[stage]).results
    content = read_json(path)
    content["last"]["ensemble"]["top1"] += 0.01
    path.write_text(json.dumps(content))
    after = start()
    assert after[stage]["last"] == before[stage]["last"]
    assert after[stage]["run"] == before[stage]["run"]


@pytest.mark.slow
def test_stopped_stage_without_an_intact_checkpoint_is_trained_again(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = start("NAME", "whole")
    stop(start, 6)
    (run,) = (tmp_path / "output" / "crt" / "baseline").iterdir()
    for path in (run / "models").glob("*.pth"):
        path.write_bytes(b"")
    stages = start()
    changed = f"{run} has changed since it was written: models/last.pth"
    assert any(message.startswith(changed) for message in caplog.messages)
    assert stages["baseline"]["run"] != str(run)
    assert stages["baseline"]["last"] == whole["baseline"]["last"]


@pytest.mark.slow
def test_generated_images_that_were_lost_are_made_again(start: Start) -> None:
    stages = start(text=CAM)
    folder = Path(stages["images"]["data"]).parent / "images"
    lost = sorted(folder.glob("*.png"))[3]
    content = lost.read_bytes()
    lost.unlink()
    assert start(text=CAM) == stages
    assert lost.read_bytes() == content


CALIBRATED = """
name: calibrated
stages:
  - {name: first, config: first.yaml}
  - {name: correct, calibrate: last of first, over: TEST.TEMPERATURE, hold_out: 0.5}
"""


@pytest.mark.slow
def test_other_calibration_of_the_same_checkpoint_is_made(start: Start) -> None:
    before = start(text=CALIBRATED)
    other = CALIBRATED.replace("over: TEST.TEMPERATURE, hold_out: 0.5", "over: TEST.CLASS_OFFSETS, hold_out: 0.2")
    after = start(text=other)
    assert after["first"]["run"] == before["first"]["run"]
    assert [after["correct"]["calibration"][key] for key in ("key", "hold_out")] == ["TEST.CLASS_OFFSETS", 0.2]
    evaluated = start(text=CALIBRATED.replace("calibrate: ", "evaluate: ").partition(", over")[0] + "}\n")
    assert "calibration" not in evaluated["correct"]
    assert len(paths(before) | paths(after) | paths(evaluated)) == 4
    assert start(text=CALIBRATED) == before


@pytest.mark.slow
def test_finished_stages_of_other_images_are_not_taken_for_those_of_now(
    start: Start, tmp_path: Path, image_folder: Callable[..., str], tiny_cfg: TinyConfig
) -> None:
    lists = [image_folder(name, [0, 1] * number, 2) for name, number in (("train", 8), ("valid", 4), ("test", 3))]
    keys = [part for name, file in zip(("TRAIN", "VALID", "TEST"), lists, strict=True) for part in (name, file)]
    files = [f"DATASET.{part}_JSON" if number % 2 == 0 else part for number, part in enumerate(keys)]
    cfg = tiny_cfg("DATASET.DATASET", "annotations", *files, "TRAIN.BATCH_SIZE", 4)
    (tmp_path / "first.yaml").write_text(to_yaml(cfg))
    evaluate = "name: other\nstages: [{name: a, config: first.yaml}, {name: b, evaluate: last of a}]\n"
    before = start(text=evaluate)
    assert start(text=evaluate) == before
    reordered = read_json(Path(lists[2]))
    Path(lists[2]).write_text(json.dumps({**reordered, "annotations": reordered["annotations"][::-1]}))
    after = start(text=evaluate)  # other test images do not change the training
    assert after["a"]["run"] == before["a"]["run"] and after["b"]["run"] != before["b"]["run"]
    fewer = read_json(Path(lists[1]))
    Path(lists[1]).write_text(json.dumps({**fewer, "annotations": fewer["annotations"][:-1]}))
    with pytest.raises(UserError, match=r"is finished in .*, but its images have changed since; --resume never"):
        start(text=evaluate)
    assert not paths(start(text=evaluate, resume="never")) & paths(before)
