"""Whole runs of the methods that mix and that distil; and how the accuracy on mixtures is counted."""

import json
import math

import pytest
import torch
from test_resume import BATCHES, assert_same, stop_after, values
from tiny import CE, NCL

from longtail.data.loaders import MemoryLoader
from longtail.engine.interrupts import Interrupted
from longtail.engine.meter import Meter
from longtail.engine.training import train
from longtail.errors import UserError
from longtail.methods import Mixed, Plain, Step
from longtail.models import read_checkpoint

TWO = ["BACKBONE.MULTI_NETWORK_TYPE", ["tiny", "tiny"]]
MIXUP = [*TWO, "TRAIN.COMBINER.TYPE", "mix_up", "LOSS.LOSS_TYPE", "BalancedSoftmaxCE", "TRAIN.TWO_STAGE.DRW", True]
MANIFOLD = [*TWO, "TRAIN.COMBINER.TYPE", "manifold_mix_up", "TRAIN.COMBINER.MANIFOLD_MIX_UP.LOCATION", "body.1"]
REMIX = [*CE, "TRAIN.COMBINER.TYPE", "remix", "LOSS.LOSS_TYPE", "LDAMLoss", "CLASSIFIER.TYPE", "FCNorm"]
BBN = [*CE, "TRAIN.COMBINER.TYPE", "bbn_mix", "TRAIN.SAMPLER.TYPE", "bbn sampler"]
DIVE = [*CE, "TRAIN.COMBINER.TYPE", "dive", "LOSS.LOSS_TYPE", "DiVEKLD"]


@pytest.mark.parametrize(
    "method", [MIXUP, MANIFOLD, REMIX, BBN, DIVE], ids=["mixup", "manifold", "remix", "bbn", "dive"]
)
def test_a_stopped_run_goes_on_bit_by_bit(tiny_cfg, monkeypatch, method):
    if method is DIVE:
        run = train(tiny_cfg("NAME", "teacher", "TRAIN.MAX_EPOCH", 1), "x.yaml", "cpu")
        method = [*method, "TRAIN.COMBINER.DIVE.TEACHER_MODEL", str(run.models / "best_ensemble.pth")]
    cfg = tiny_cfg("TRAIN.MAX_EPOCH", 2, method=method)
    whole = train(tiny_cfg("TRAIN.MAX_EPOCH", 2, "NAME", "whole", method=method), "x.yaml", "cpu")
    with monkeypatch.context() as patch:
        stop_after(BATCHES + 2, patch)
        with pytest.raises(Interrupted, match="SIGTERM"):
            train(cfg, "x.yaml", "cpu")
    torch.manual_seed(999)
    resumed = train(cfg, "x.yaml", "cpu", resume="auto")
    assert_same(values(whole), values(resumed))
    assert read_checkpoint(resumed.last)["method"] == {}


def test_the_partners_are_normalised_as_the_images_are(tiny_cfg, monkeypatch):
    original, seen = MemoryLoader.epoch, []

    def epoch(self, number, start=0):
        for batch in original(self, number, start):
            yield batch._replace(partner=batch)

    monkeypatch.setattr(MemoryLoader, "epoch", epoch)
    step = Plain.training_step
    monkeypatch.setattr(Plain, "training_step", lambda self, batch: seen.append(batch) or step(self, batch))
    train(tiny_cfg("TRAIN.MAX_EPOCH", 1), "x.yaml", "cpu")
    assert len(seen) == BATCHES
    for batch in seen:
        assert batch.partner.images.dtype == torch.float32 and torch.equal(batch.images, batch.partner.images)


def test_accuracy_on_mixtures_is_the_same_mixture():
    logits = torch.tensor([[[5.0, 0, 0], [0, 5, 0], [0, 0, 5], [0, 0, 5]]])  # says 0, 1, 2, 2
    first, second = torch.tensor([0, 1, 0, 0]), torch.tensor([1, 0, 2, 0])
    meter, plain = Meter(), Meter()
    step = Step(torch.tensor(1.0), logits, first, {}, Mixed(second, torch.tensor(0.75)))
    for _ in range(3):
        meter.update(step)
    assert meter.means()["top1"] == pytest.approx(0.75 * 2 / 4 + 0.25 * 1 / 4)
    plain.update(step._replace(mixed=None))
    assert plain.means()["top1"] == 0.5


def test_records_of_a_run_tell_loss_and_accuracy(tiny_cfg):
    run = train(tiny_cfg("TRAIN.MAX_EPOCH", 2, method=[*MIXUP, "TRAIN.COMBINER.ALPHA", 0.2]), "x.yaml", "cpu")
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    trained = [record for record in records if record["split"] == "train"]
    assert all(0 < record["loss/ce"] < math.inf and 0 < record["top1"] < 1 for record in trained)


def test_a_place_that_is_not_there_is_told_before_anything_is_written(tiny_cfg, tmp_path):
    with pytest.raises(UserError, match=r"LOCATION is 'layer4', .* there is: pool, fc, body, and"):
        train(tiny_cfg(method=[*MANIFOLD, "TRAIN.COMBINER.MANIFOLD_MIX_UP.LOCATION", "layer4"]), "x.yaml", "cpu")
    with pytest.raises(UserError, match="compares experts"):
        train(tiny_cfg(method=[*NCL, "TRAIN.COMBINER.TYPE", "mixup"]), "x.yaml", "cpu")
    assert not list((tmp_path / "output").rglob("*.*"))
