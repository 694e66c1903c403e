"""Whole trainings of SBCL: resuming in every phase, both recipes, several processes."""

import json
import math
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.checkpoint_file import read_checkpoint
from longtail.data.loaders import MemoryLoader
from longtail.engine.interrupts import Interrupted
from longtail.engine.trainer import Trainer
from longtail.methods.subclasses import Subclasses
from longtail.runs.directory import RunDirectory
from longtail.stages.recipe import run_recipe
from tests.helpers.training import (
    BATCHES,
    CPU,
    SUBCLASS_BATCH,
    SUBCLASS_QUEUE,
    FinishedRun,
    TinyConfig,
    assert_same,
    read_json,
    read_records,
    stop_after,
    tiny_config,
    train,
    values,
)
from tests.helpers.worlds import train_in_worlds

SUBCLASS = "TRAIN.COMBINER.SUBCLASS"
METHODS = {"in batch": SUBCLASS_BATCH, "queue": SUBCLASS_QUEUE}
LONGER = ("TRAIN.MAX_EPOCH", 4, f"{SUBCLASS}.EVERY", 2)  # clusterings before the epochs 2 and 4
DIGITS: list[str] = [
    *("BACKBONE.TYPE", "tiny", "TRAIN.BATCH_SIZE", "64", "TRAIN.AMP", "off", "TRAIN.TENSORBOARD.ENABLE", "False"),
    *("TRAIN.MAX_EPOCH", "2", "VALID_STEP", "1"),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", METHODS)
def test_a_run_trains_and_evaluates_the_probe(finished_run: FinishedRun, kind: str) -> None:
    run = finished_run(*LONGER, method=METHODS[kind])
    records = read_records(run, "train")
    assert all(0 < record["loss/contrast"] < math.inf and record["loss/ce"] > 0 for record in records)
    assert [record["epoch"] for record in read_records(run, "valid")] == [1, 2, 3, 4]
    assert 0 < read_json(run.results)["best"]["ensemble"]["top1"] < 1
    state = read_checkpoint(run.last)["method"]
    assert len(state["subclasses.ids"].unique()) > 30
    lines = re.findall(r"epoch (\d): 10 classes in \d+ subclasses", run.log.read_text())
    assert lines == ["2", "4"]
    if kind == "queue":
        assert state["contrast.queue.samples"].min() >= 0 and state["contrast.queue.samples"].max() < 276
        assert int(state["contrast.queue.pointer"]) == 4 * BATCHES * 64 % 100


@pytest.mark.slow
@pytest.mark.parametrize("waiting", [False, True], ids=["between batches", "while waiting"])
def test_signal_during_a_clustering_pass_stops_it(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, waiting: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        original = MemoryLoader.epoch

        def epoch(loader: Any, number: int, start: int = 0) -> Any:
            if number == 2 and not loader.settings.drop_last and len(loader.labels) == 276:  # all training images
                signal.raise_signal(signal.SIGTERM)
                if waiting:
                    loader.waiting()
            return original(loader, number, start)

        patch.setattr(MemoryLoader, "epoch", epoch)
        patch.setattr(MemoryLoader, "on_wait", lambda loader, callback: setattr(loader, "waiting", callback))
        patch.setattr(Subclasses, "cluster", lambda *args: pytest.fail("the pass was not stopped"))
        with pytest.raises(Interrupted, match="SIGTERM; epoch 2, batch 0 of 4 is saved"):
            train(tiny_cfg(*LONGER, method=SUBCLASS_BATCH))
    resumed = train(tiny_cfg(*LONGER, method=SUBCLASS_BATCH))
    assert_same(values(finished_run(*LONGER, method=SUBCLASS_BATCH)), values(resumed))


@pytest.mark.slow
@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize(
    "steps", [2, BATCHES, BATCHES + 2, 2 * BATCHES + 3, 3 * BATCHES, 3 * BATCHES + 1], ids=lambda steps: f"step {steps}"
)
def test_a_stopped_run_ends_as_one_that_was_not(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch, steps: int, kind: str
) -> None:
    """In the warm-up, at its end, after a clustering, between two, before one, and after the last."""
    cfg = tiny_cfg(*LONGER, method=METHODS[kind])
    with monkeypatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted, match="SIGTERM"):
            train(cfg)
    assert_same(values(train(cfg)), values(finished_run(*LONGER, method=METHODS[kind])))


@pytest.mark.slow
def test_warm_up_without_end_never_clusters(finished_run: FinishedRun) -> None:
    run = finished_run(f"{SUBCLASS}.WARM_EPOCHS", 1000, method=SUBCLASS_BATCH)
    assert "clustered" not in run.log.read_text()
    assert len(read_checkpoint(run.last)["method"]["subclasses.ids"].unique()) == 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", METHODS)
def test_two_processes_cluster_alike(tmp_path: Path, kind: str) -> None:
    """Augmentation differs with the number of processes; the subclasses are those of process 0 in both."""

    def look(trainer: Trainer) -> Any:
        method = trainer.training.method.state_dict()
        return {"ids": method["subclasses.ids"], "temperatures": method["subclasses.temperatures"]}

    def make(world: int) -> Any:
        return tiny_config(tmp_path / str(world), "TRAIN.BATCH_SIZE", 32, "TRAIN.MAX_EPOCH", 2, method=METHODS[kind])

    results = train_in_worlds(make, tmp_path, worlds=(2,), look=look)
    first, second = results[2]
    assert_same(first, second)
    assert len(first["ids"].unique()) > 30


def stages_of(recipe: str, output: Path, *overrides: str) -> dict[str, dict[str, Any]]:
    """Run a recipe on Digits-LT with a tiny network; return its stages by name."""
    summary = run_recipe(f"digits_lt,{recipe}", place=CPU, overrides=[*DIGITS, "OUTPUT_DIR", str(output), *overrides])
    return {stage["stage"]: stage for stage in json.loads(summary.read_text())["stages"]}


def state_of(stage: dict[str, Any], entry: str = "model") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = read_checkpoint(RunDirectory(Path(stage["run"])).last)[entry]
    return state


def sbcl(output: Path) -> dict[str, dict[str, Any]]:
    return stages_of("sbcl", output, f"contrast:{SUBCLASS}.WARM_EPOCHS", "1", "classifier:DATASET.VIEWS", "['crop']")


@pytest.mark.slow
def test_recipe_sbcl_trains_a_classifier_on_the_frozen_features(tmp_path: Path) -> None:
    stages = sbcl(tmp_path)
    assert list(stages) == ["contrast", "classifier"]
    first, second = state_of(stages["contrast"]), state_of(stages["classifier"])
    backbone = {name: value for name, value in second.items() if ".backbone." in name}
    assert backbone and all(torch.equal(first[name], value) for name, value in backbone.items())
    assert not any("projection" in name for name in second)
    assert "experts.0.head.bias" not in second  # a normalized linear head
    assert 0 <= stages["classifier"]["last"]["ensemble"]["top1"] <= 1


@pytest.mark.slow
def test_recipe_sbcl_stopped_in_the_second_stage_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sbcl(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(2 * BATCHES + 2, patch)
        with pytest.raises(Interrupted, match="SIGTERM"):
            sbcl(tmp_path / "stopped")
    stopped = sbcl(tmp_path / "stopped")
    for name, stage in whole.items():
        assert_same(state_of(stage), state_of(stopped[name]), name)


@pytest.mark.slow
def test_recipe_sbcl_imagenet_continues_momentum_encoder_and_queue(tmp_path: Path) -> None:
    queue = ["NETWORK.MOCO_K", "100", "NETWORK.MOCO_DIM", "4"]
    stages = stages_of("sbcl_imagenet", tmp_path, *queue, "TRAIN.OPTIMIZER.BASE_LR", "1e-9")
    assert list(stages) == ["k_positive", "contrast", "classifier"]
    first, second = (state_of(stages[name], "method") for name in ("k_positive", "contrast"))
    assert int(first["contrast.queue.pointer"]) == 2 * BATCHES * 64 % 100
    assert int(second["contrast.queue.pointer"]) == 4 * BATCHES * 64 % 100
    assert len(first["subclasses.ids"].unique()) == 10 < len(second["subclasses.ids"].unique())
    keys = "contrast.key_encoder.experts.0.projection.0.weight"
    torch.testing.assert_close(second[keys], first[keys])  # at this learning rate nothing changes
    log = RunDirectory(Path(stages["contrast"]["run"])).log.read_text()
    assert re.search(r"epoch 1: 10 classes in \d+ subclasses", log)


@pytest.mark.slow
@pytest.mark.figures
def test_figures_of_a_run_show_features_and_subclasses(tiny_cfg: TinyConfig) -> None:
    run = train(tiny_cfg("TRAIN.MAX_EPOCH", 2, method=SUBCLASS_BATCH))
    assert {"features.png", "subclasses.png", "class_counts.png", "curves.png"} <= {
        path.name for path in run.figures.iterdir()
    }
