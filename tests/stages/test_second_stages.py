"""Trainings on a frozen backbone: what is frozen, refused and kept."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from longtail.models import read_weights
from longtail.runs.directory import RunDirectory
from longtail.stages.evaluate import validate
from tests.helpers.training import (
    CPU,
    FinishedRun,
    TinyConfig,
    assert_same,
    read_json,
    stop_after,
    train,
    values,
)


def second(head: str, checkpoint: Path, *overrides: Any) -> list[Any]:
    start = ["NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(checkpoint)]
    return ["CLASSIFIER.TYPE", head, *start, "TRAIN.OPTIMIZER.BASE_LR", 0.5, *overrides]


def unequal(run: RunDirectory, weights: dict[str, Tensor]) -> set[str]:
    """Return the names of the entries in which a run's newest weights differ from others."""
    return {name for name, value in read_weights(run.last).items() if not torch.equal(value, weights[name])}


@pytest.mark.slow
@pytest.mark.parametrize(("head", "trained"), [("cRT", {"weight", "bias"}), ("LWS", {"scales"})])
def test_frozen_backbone_and_its_statistics_stay(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, head: str, trained: set[str]
) -> None:
    first = finished_run()
    before = read_weights(first.last)
    if head == "LWS":
        before = {name.replace("head.", "head.fc."): value for name, value in before.items()}
        before["experts.0.head.scales"] = torch.ones(10)
    run = train(tiny_cfg(*second(head, first.last)))
    assert unequal(run, before) == {f"experts.0.head.{name}" for name in trained}


@pytest.mark.slow
def test_frozen_statistics_moving_lets_them_move(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    first = finished_run()
    run = train(tiny_cfg(*second("cRT", first.last, "BACKBONE.FROZEN_STATISTICS", "moving")))
    moved = {name.removeprefix("experts.0.") for name in unequal(run, read_weights(first.last))}
    statistics = {f"backbone.body.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert moved == statistics | {"head.weight", "head.bias"}


@pytest.mark.slow
def test_freeze_keeps_statistics_under_any_head(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    first = finished_run()
    run = train(tiny_cfg(*second("FC", first.last, "BACKBONE.FREEZE", True)))
    assert unequal(run, read_weights(first.last)) == {"experts.0.head.weight", "experts.0.head.bias"}


@pytest.mark.slow
def test_classifier_is_retrained_from_scratch(tiny_cfg: TinyConfig, finished_run: FinishedRun) -> None:
    first = finished_run()
    run = train(tiny_cfg(*second("cRT", first.last, "TRAIN.OPTIMIZER.BASE_LR", 1e-12, "TRAIN.MAX_EPOCH", 1)))
    old, new = (read_weights(each.last)["experts.0.head.weight"] for each in (first, run))
    assert (old - new).abs().max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("head", ["cRT", "LWS"])
def test_stopped_second_stage_keeps_what_it_trained(tiny_cfg: TinyConfig, finished_run: FinishedRun, head: str) -> None:
    checkpoint = finished_run().last
    whole = train(tiny_cfg(*second(head, checkpoint, "NAME", "whole")))
    with pytest.MonkeyPatch.context() as patch:
        stop_after(6, patch)
        with pytest.raises(Interrupted):
            train(tiny_cfg(*second(head, checkpoint)))
    resumed = train(tiny_cfg(*second(head, checkpoint)))
    assert len(list(resumed.path.parent.iterdir())) == 1
    assert_same(values(whole), values(resumed))


@pytest.mark.slow
def test_stage_whose_start_has_changed_starts_again(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, tmp_path: Path
) -> None:
    start = tmp_path / "first.pth"
    shutil.copy(finished_run().last, start)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(Interrupted):
            train(tiny_cfg(*second("cRT", start)))
    shutil.copy(finished_run("RAND_SEED", 5).last, start)
    run = train(tiny_cfg(*second("cRT", start)))
    assert len(list(run.path.parent.iterdir())) == 2
    start.unlink()
    with pytest.raises(UserError, match="does not exist"):
        train(tiny_cfg(*second("cRT", start)))


@pytest.mark.slow
def test_second_stage_is_evaluated_without_the_first(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtail.stages.evaluate._write_details", lambda *args, **kwargs: None)
    start = tmp_path / "first.pth"
    shutil.copy(finished_run().last, start)
    cfg = tiny_cfg(*second("LWS", start))
    run = train(cfg)
    start.unlink()
    evaluated = read_json(validate(cfg, run.path, place=CPU) / "results.json")
    assert evaluated["ensemble"] == read_json(run.results)["best"]["ensemble"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["CLASSIFIER.TYPE", "cRT"], "CLASSIFIER.TYPE cRT is trained on a finished backbone; set NETWORK.PRETRAINED"),
        (["CLASSIFIER.TYPE", "LWS"], "CLASSIFIER.TYPE LWS is trained on a finished backbone"),
        (["CLASSIFIER.TYPE", "cRT", "NETWORK.PRETRAINED", True], "NETWORK.PRETRAINED_MODEL is empty"),
        (
            ["CLASSIFIER.TYPE", "cRT", "NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", "absent.pth"],
            r"NETWORK.PRETRAINED_MODEL: file absent\.pth does not exist",
        ),
        (["BACKBONE.PRETRAINED_MODEL", "absent.pth"], r"BACKBONE.PRETRAINED_MODEL: file absent\.pth does not exist"),
    ],
)
def test_second_stage_without_a_first_is_refused_before_data_are_read(
    tiny_cfg: TinyConfig, overrides: list[Any], message: str
) -> None:
    cfg = tiny_cfg(*overrides, "DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", "absent.json")
    with pytest.raises(UserError, match=f"^{message}"):
        train(cfg)
