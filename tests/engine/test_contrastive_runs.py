"""Whole runs of contrastive training."""

import json
import math

import pytest
import torch
from longtail.engine.devices import _ParallelExperts
from tiny import CONTRASTIVE, NCL

from longtail.engine import judging
from longtail.engine.training import train
from longtail.models import Output, read_checkpoint


@pytest.mark.parametrize("released", [False, True])
def test_a_run_trains(tiny_cfg, released):
    run = train(tiny_cfg("NETWORK.MOCO_RELEASED", released, method=CONTRASTIVE), "x.yaml", "cpu")
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    contrast = [record["loss/contrastive"] for record in records if record["split"] == "train"]
    assert all(0 < value < math.inf for value in contrast)
    state = read_checkpoint(run.last)["method"]
    assert state["queue.keys"].shape == (3, 100, 4)
    assert int(state["queue.pointer"]) == 3 * 4 * 64 % 100


def test_a_network_is_judged_whether_tree_and_file_have_projection_heads_or_not(tiny_cfg, monkeypatch):
    for name in ("plot_confusion", "plot_per_class_accuracy"):
        monkeypatch.setattr(judging, name, lambda *args, **kwargs: None)
    for trained, judged in ((CONTRASTIVE, [CONTRASTIVE, NCL]), (NCL, [CONTRASTIVE])):
        run = train(tiny_cfg("TRAIN.MAX_EPOCH", 1, method=trained), "x.yaml", "cpu")
        best = json.loads(run.results.read_text())["best"]["ensemble"]
        for method in judged:
            folder = judging.validate(tiny_cfg(method=method), run.path, "cpu")
            assert json.loads((folder / "results.json").read_text())["ensemble"] == best


def test_fields_of_several_devices_are_joined_along_the_batch():
    parts = [Output(torch.rand(3, size, 5), torch.rand(3, size, 2), torch.rand(3, size, 4)) for size in (2, 1)]
    joined = _ParallelExperts.gather(None, parts, "cpu")
    for field, first, second in zip(joined, *parts, strict=True):
        assert torch.equal(field, torch.cat([first, second], dim=1))
    without = _ParallelExperts.gather(None, [part._replace(projections=None) for part in parts], "cpu")
    assert without.projections is None
