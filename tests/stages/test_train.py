"""Whole trainings: what they write, in which order, and errors before anything is written."""

import json
import math
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from yacs.config import CfgNode

from longtail.checkpoint_file import read_checkpoint
from longtail.config import load_config
from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from longtail.runs.directory import parent_of_runs
from longtail.stages import train as train_stage
from tests.helpers.training import (
    BATCHES,
    CASCADE,
    CE,
    CONTRASTIVE,
    FIGURES,
    MANIFOLD,
    MIXUP,
    NCL,
    FinishedRun,
    TinyConfig,
    read_json,
    read_records,
    stop_after,
    train,
)

FILES = ["config.yaml", "environment.json", "figures", "inputs.json", "metrics.jsonl", "models", "results.json"]


@pytest.mark.slow
def test_run_directory_has_all_files(tiny_cfg: TinyConfig) -> None:
    run = train(tiny_cfg("TRAIN.TENSORBOARD.ENABLE", True))
    names = {path.name for path in run.path.iterdir() if not path.name.startswith(".")}
    assert names == {*FILES, "tensorboard", "train.log"}
    assert {path.stem for path in run.models.iterdir()} == {"last", "previous", "best_ensemble", "best_single"}
    assert load_config(run.config).TRAIN.MAX_EPOCH == 3
    assert set(read_json(run.path / "environment.json")["data"]) == {"train", "valid"}


@pytest.mark.slow
def test_environment_names_other_hardware_of_a_resumed_run(tiny_cfg: TinyConfig) -> None:
    cfg = tiny_cfg()
    with pytest.MonkeyPatch.context() as patch:
        stop_after(BATCHES + 1, patch)
        with pytest.raises(Interrupted):
            train(cfg)
    (path,) = Path(cfg.OUTPUT_DIR).rglob("environment.json")
    first = read_json(path)
    path.write_text(json.dumps({**first, "devices": ["GPU"]}))
    train(cfg)
    assert read_json(path) == {**first, "devices": ["GPU"], "resumed": [{"epoch": 2, "devices": ["cpu"]}]}


@pytest.mark.slow
def test_stopped_run_does_not_resume_with_other_validation_images(
    tiny_cfg: TinyConfig, image_folder: Callable[..., str]
) -> None:
    """Its best epoch would be chosen among results on both."""
    lists = [image_folder(name, [0, 1] * 8, 2) for name in ("train", "valid")]
    keys = ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", lists[0], "DATASET.VALID_JSON", lists[1]]
    cfg = tiny_cfg(*keys, "TRAIN.BATCH_SIZE", 4)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(6, patch)
        with pytest.raises(Interrupted):
            train(cfg)
    content = read_json(Path(lists[1]))
    Path(lists[1]).write_text(json.dumps({**content, "annotations": content["annotations"][:-1]}))
    with pytest.raises(UserError, match=r"^cannot resume from .*: it has validation images with the fingerprint"):
        train(cfg)
    Path(lists[1]).write_text(json.dumps(content))
    assert read_json(train(cfg).results)["finished"]


@pytest.mark.slow
def test_results_have_the_fields_of_the_contract(finished_run: FinishedRun) -> None:
    results = read_json(finished_run(method=NCL).results)
    expected = {"config": "x.yaml", "seed": 42, "epochs": 3, "classes": 10, "images": 276, "experts": 3}
    assert {key: results[key] for key in expected} == expected
    assert results["parameters"] == 3 * 1082 and results["seconds"] > 0 and results["finished"] is True
    for name in ("best", "last"):
        assert set(results[name]) == {"epoch", "ensemble", "experts"} and len(results[name]["experts"]) == 3
        assert {"top1", "many", "medium", "few"} <= results[name]["ensemble"].keys()
        fractions = {key: value for key, value in results[name]["ensemble"].items() if not key.startswith("nll")}
        assert all(0 <= value <= 1 for value in fractions.values())


@pytest.mark.slow
@pytest.mark.figures
def test_results_are_written_last(tiny_cfg: TinyConfig) -> None:
    run = train(tiny_cfg("TRAIN.TENSORBOARD.ENABLE", True, "SAVE_STEP", 1))
    written = {path.name: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    assert {f"{name.removeprefix('plot_')}.png" for name in FIGURES} <= written.keys()
    assert max(written, key=lambda name: written[name]) == "results.json"


@pytest.mark.slow
def test_run_whose_figures_cannot_be_drawn_is_not_finished(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise UserError("figure cannot be written: No space left on device")

    cfg = tiny_cfg()
    monkeypatch.setattr(train_stage, "plot_curves", refuse)
    with pytest.raises(UserError, match="No space left"):
        train(cfg)
    (path,) = parent_of_runs(cfg).iterdir()
    assert "finished" not in read_json(path / "results.json")


@pytest.mark.slow
@pytest.mark.parametrize("released", [False, True])
def test_contrastive_training_fills_its_queue(tiny_cfg: TinyConfig, released: bool) -> None:
    run = train(tiny_cfg("NETWORK.MOCO_RELEASED", released, method=CONTRASTIVE))
    assert all(0 < record["loss/contrastive"] < math.inf for record in read_records(run, "train"))
    state = read_checkpoint(run.last)["method"]
    assert state["queue.keys"].shape == (3, 100, 4)
    assert int(state["queue.pointer"]) == 3 * BATCHES * 64 % 100


@pytest.mark.slow
def test_records_of_mixtures_have_loss_and_accuracy(tiny_cfg: TinyConfig) -> None:
    run = train(tiny_cfg("TRAIN.COMBINER.ALPHA", 0.2, method=MIXUP))
    for record in read_records(run, "train"):
        assert 0 < record["loss/ce"] < math.inf and 0 < record["top1"] < 1


@pytest.mark.slow
def test_cascade_trains_and_is_evaluated_head_by_head(finished_run: FinishedRun) -> None:
    run = finished_run(method=CASCADE)
    results = read_json(run.results)
    assert results["experts"] == len(results["last"]["experts"]) == len(results["heads"])
    accuracies = [record["top1"] for record in read_records(run, "train")]  # the loss weighs its parts by the epoch
    assert accuracies[-1] > accuracies[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([*MANIFOLD, "TRAIN.COMBINER.MANIFOLD_MIX_UP.LOCATION", "layer4"], r"LOCATION is 'layer4', .* available: pool"),
        (["LOSS.LOSS_TYPE", "DiVEKLD"], "needs a teacher; TRAIN.COMBINER.TYPE must be distillation, not supervised"),
        (["TRAIN.BATCH_SIZE", 277], "has 276 images, fewer than one step needs"),
        (
            ["LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 11],
            "LOSS.HCM_N is 11; it must be at most",
        ),
        (["TRAIN.CUDA_GRAPH", "on"], "TRAIN.CUDA_GRAPH"),
        (["DATASET.DATASET", "IMBALANCEDCIFAR10"], "DATASET.DATASET is .*, its default, which is not a data set"),
    ],
)
def test_error_is_reported_before_anything_is_written(
    tiny_cfg: TinyConfig, tmp_path: Path, overrides: list[Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        train(tiny_cfg(method=[*CE, *overrides]))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- images in files

FilesConfig = Callable[..., CfgNode]
DAMAGED = ("train/2.png", "train/7.png", "valid/4.png")


@pytest.fixture
def files_cfg(image_folder: Callable[..., str], tmp_path: Path) -> FilesConfig:
    """Return a maker of configs: twelve images in files, three of them damaged, two epochs of three batches."""
    files = {split: image_folder(split, [0, 1, 2] * 4, 3, ((68, 68),)) for split in ("train", "valid")}
    for damaged in DAMAGED:
        (tmp_path / damaged).write_bytes(b"")

    def make(*overrides: Any) -> CfgNode:
        settings = [
            *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", files["train"]),
            *("DATASET.VALID_JSON", files["valid"], "DATASET.VIEWS", ["crop_flip"], "OUTPUT_DIR", str(tmp_path / "o")),
            *("TRAIN.BATCH_SIZE", 4, "TRAIN.MAX_EPOCH", 2, "TRAIN.NUM_WORKERS", 1, "TEST.NUM_WORKERS", 0),
            *("TRAIN.TENSORBOARD.ENABLE", False, "DATASET.ON_BAD_IMAGE", "skip", "BACKBONE.TYPE", "tiny"),
        ]
        return load_config(None, [*settings, *overrides])

    return make


def outcome(path: Path) -> Any:
    """Return the content of results.json that does not depend on the time."""
    return {key: value for key, value in read_json(path).items() if key not in ("seconds", "outputs", "checksum")}


@pytest.mark.slow
def test_bad_images_are_named_and_the_run_resumes_bit_by_bit(files_cfg: FilesConfig, tmp_path: Path) -> None:
    whole = train(files_cfg("NAME", "whole"))
    named = [str(tmp_path / file) for file in DAMAGED]
    assert outcome(whole.results)["bad_images"] == {"count": 3, "files": named}
    with pytest.MonkeyPatch.context() as patch:
        stop_after(5, patch)
        with pytest.raises(Interrupted):
            train(files_cfg("NAME", "stopped"))
    stopped = train(files_cfg("NAME", "stopped"))
    assert outcome(stopped.results) == outcome(whole.results)
    first, second = read_checkpoint(whole.last), read_checkpoint(stopped.last)
    assert first["bad_files"] == second["bad_files"] == named
    for name, weights in first["model"].items():
        assert torch.equal(weights, second["model"][name]), name


@pytest.mark.slow
def test_results_without_bad_images_do_not_mention_them(files_cfg: FilesConfig, tmp_path: Path) -> None:
    for damaged in DAMAGED:
        (tmp_path / damaged).write_bytes((tmp_path / "train/0.png").read_bytes())
    run = train(files_cfg("TRAIN.MAX_EPOCH", 1))
    assert "bad_images" not in read_json(run.results)
    assert "bad_files" not in read_checkpoint(run.last)


def test_too_many_bad_images_end_the_run(files_cfg: FilesConfig) -> None:
    with pytest.raises(
        UserError, match=r"DATASET.BAD_IMAGE_LIMIT \(1\) allows; the last one: image .*png cannot be read"
    ):
        train(files_cfg("DATASET.BAD_IMAGE_LIMIT", 1))


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "views"), [("NIL_NBOD", 1), ("NIL_NBOD_plus", 2)])
def test_nested_training_from_files_of_any_size(
    image_folder: Callable[..., str], tmp_path: Path, loss: str, views: int
) -> None:
    """As on ImageNet-LT, in small: files of several sizes, workers, the policy of NCL, a backbone for large images."""
    train_json, valid_json = (
        image_folder(split, [0, 1, 2] * count, 3, ((70, 80), (90, 66))) for split, count in (("train", 4), ("valid", 1))
    )
    settings = [
        *("DATASET.DATASET", "ImageNet_LT", "DATASET.TRAIN_JSON", train_json, "DATASET.VALID_JSON", valid_json),
        *("DATASET.INTRA_N", views, "INPUT_SIZE", [32, 32], "OUTPUT_DIR", str(tmp_path), "TRAIN.NUM_WORKERS", 1),
        *("BACKBONE.MULTI_NETWORK_TYPE", ["res10", "res10"], "CLASSIFIER.TYPE", "cos", "TRAIN.BATCH_SIZE", 6),
        *("TRAIN.COMBINER.TYPE", "multi_network_default", "LOSS.LOSS_TYPE", loss, "LOSS.HCM_N", 2),
        *("LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6),
        *("TRAIN.MAX_EPOCH", 1, "TRAIN.TENSORBOARD.ENABLE", False, "TEST.NUM_WORKERS", 0),
    ]
    run = train(load_config(None, settings))
    results = read_json(run.results)
    assert (results["experts"], results["classes"]) == (2, 3)
    distillation = {"NIL_NBOD": {"loss/nbod", "loss/hard_nbod"}, "NIL_NBOD_plus": {"loss/intra", "loss/inter"}}
    assert {"loss/ce", "loss/hard_ce"} | distillation[loss] <= read_records(run, "train")[0].keys()


@pytest.mark.slow
def test_finished_and_failed_trainings_leave_no_workers(
    files_cfg: FilesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = files_cfg("TEST.NUM_WORKERS", 1)
    train(cfg)
    assert not multiprocessing.active_children()
    monkeypatch.setattr(train_stage, "_report", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(cfg, "never")
    assert not multiprocessing.active_children()
