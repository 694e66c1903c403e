"""Trainings on a frozen backbone: what stays still, what is refused, what is kept."""

import json
import shutil

import pytest
import torch
from longtail.engine.judging import validate
from test_resume import assert_same, stop_after, values

from longtail.engine import judging
from longtail.engine.interrupts import Interrupted
from longtail.engine.training import train
from longtail.errors import UserError
from longtail.models import read_weights


@pytest.fixture
def first(tiny_cfg):
    return train(tiny_cfg("NAME", "first"), "x.yaml", "cpu")


def second(head, first, *overrides):
    start = ["NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(first.last)]
    return ["CLASSIFIER.TYPE", head, *start, "TRAIN.OPTIMIZER.BASE_LR", 0.5, *overrides]


def unequal(run, weights):
    """Names of the entries in which a run's newest weights differ from others."""
    return {name for name, value in read_weights(run.last).items() if not torch.equal(value, weights[name])}


@pytest.mark.parametrize(("head", "trained"), [("cRT", {"weight", "bias"}), ("LWS", {"scales"})])
def test_the_backbone_and_its_statistics_stay_bit_by_bit(tiny_cfg, first, head, trained):
    before = read_weights(first.last)
    if head == "LWS":
        before = {name.replace("head.", "head.fc."): value for name, value in before.items()}
        before["experts.0.head.scales"] = torch.ones(10)
    run = train(tiny_cfg(*second(head, first)), "x.yaml", "cpu")
    assert unequal(run, before) == {f"experts.0.head.{name}" for name in trained}


def test_statistics_of_a_frozen_backbone_move_where_that_is_asked_for(tiny_cfg, first):
    run = train(tiny_cfg(*second("cRT", first, "BACKBONE.FROZEN_STATISTICS", "moving")), "x.yaml", "cpu")
    moved = {name.removeprefix("experts.0.") for name in unequal(run, read_weights(first.last))}
    statistics = {f"backbone.body.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert moved == statistics | {"head.weight", "head.bias"}


def test_freezing_keeps_statistics_still_under_any_head(tiny_cfg, first):
    run = train(tiny_cfg(*second("FC", first, "BACKBONE.FREEZE", True)), "x.yaml", "cpu")
    assert unequal(run, read_weights(first.last)) == {"experts.0.head.weight", "experts.0.head.bias"}


def test_the_classifier_of_the_first_stage_is_not_the_start_of_the_second(tiny_cfg, first):
    run = train(
        tiny_cfg(*second("cRT", first, "TRAIN.OPTIMIZER.BASE_LR", 1e-12, "TRAIN.MAX_EPOCH", 1)), "x.yaml", "cpu"
    )
    old, new = (read_weights(each.last)["experts.0.head.weight"] for each in (first, run))
    assert (old - new).abs().max() > 0.1


@pytest.mark.parametrize("head", ["cRT", "LWS"])
def test_an_interrupted_second_stage_keeps_what_it_trained(tiny_cfg, first, head, monkeypatch):
    whole = train(tiny_cfg(*second(head, first, "NAME", "whole")), "x.yaml", "cpu")
    with monkeypatch.context() as patch:
        stop_after(6, patch)
        with pytest.raises(Interrupted):
            train(tiny_cfg(*second(head, first)), "x.yaml", "cpu")
    resumed = train(tiny_cfg(*second(head, first)), "x.yaml", "cpu")
    assert len(list(resumed.path.parent.iterdir())) == 1
    assert_same(values(whole), values(resumed))


def test_a_stage_whose_start_has_changed_does_not_go_on(tiny_cfg, first, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(Interrupted):
            train(tiny_cfg(*second("cRT", first)), "x.yaml", "cpu")
    shutil.copy(train(tiny_cfg("RAND_SEED", 5, "NAME", "other"), "x.yaml", "cpu").last, first.last)
    run = train(tiny_cfg(*second("cRT", first)), "x.yaml", "cpu")
    assert len(list(run.path.parent.iterdir())) == 2
    with pytest.raises(UserError, match="does not exist"):
        first.last.unlink()
        train(tiny_cfg(*second("cRT", first)), "x.yaml", "cpu")


def test_a_second_stage_is_judged_without_the_first(tiny_cfg, first, monkeypatch):
    monkeypatch.setattr(judging, "_write_details", lambda *args: None)
    cfg = tiny_cfg(*second("LWS", first))
    run = train(cfg, "x.yaml", "cpu")
    shutil.rmtree(first.path)
    judged = json.loads((validate(cfg, run.path, "cpu") / "results.json").read_text())
    assert judged["ensemble"] == json.loads(run.results.read_text())["best"]["ensemble"]


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
def test_a_second_stage_without_a_first_is_refused_before_data_are_read(tiny_cfg, overrides, message):
    cfg = tiny_cfg(*overrides, "DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", "absent.json")
    with pytest.raises(UserError, match=f"^{message}"):
        train(cfg, "x.yaml", "cpu")
