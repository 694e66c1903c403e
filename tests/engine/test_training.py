"""What a whole run leaves behind."""

import csv
import json
import warnings

import numpy as np
import pytest
import torch
from longtail.engine.judging import validate
from PIL import Image
from tiny import NCL

from longtail.engine.training import train
from longtail.errors import UserError
from longtail.methods import Plain
from longtail.models import build_model, load_released_weights, read_weights


@pytest.mark.figures
def test_a_run_directory_holds_what_the_design_promises(tiny_cfg):
    cfg = tiny_cfg("TRAIN.TENSORBOARD.ENABLE", True, "SAVE_STEP", 2, "RAND_SEED", 7, method=NCL)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        run = train(cfg, "some.yaml", "cpu")
    assert sorted(path.name for path in run.models.iterdir()) == [
        "best_ensemble.pth",
        "best_single.pth",
        "epoch_2.pth",
        "last.pth",
    ]
    for name in ("class_counts", "curves", "per_class_accuracy", "confusion"):
        assert Image.open(run.figures / f"{name}.png").width > 300
    environment = json.loads((run.path / "environment.json").read_text())
    assert {"command", "commit", "versions", "processor", "data"} <= environment.keys()
    assert "run directory" in run.log.read_text()

    results = json.loads(run.results.read_text())
    assert (results["config"], results["seed"], results["epochs"]) == ("some.yaml", 7, 3)
    assert (results["classes"], results["experts"]) == (10, 3)
    network = build_model(cfg, 10)
    assert results["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert results["seconds"] > 0
    assert results["last"]["epoch"] == 3
    assert len(results["last"]["experts"]) == 3
    assert set(results["best"]["ensemble"]) == {"top1", "top2", "top3", "top5", "many", "medium", "few"}
    assert results["best"]["ensemble"]["top1"] >= results["last"]["ensemble"]["top1"]

    records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [(record["epoch"], record["split"]) for record in records] == [
        (epoch, split) for epoch in (1, 2, 3) for split in ("train", "valid")
    ]
    assert {"loss/ce", "loss/hard_ce", "loss/nbod", "loss/hard_nbod", "lr", "top1", "gradient_norm"} <= records[
        0
    ].keys()
    assert tensorboard_tags(run.path / "tensorboard") == {
        "scalar/acc/train_acc",
        "scalar/acc/valid_acc",
        "scalar/loss/train_loss",
        "scalar/loss/valid_loss",
        "scalar/lr",
    }


def tensorboard_tags(folder) -> set[str]:
    """Return the tags of all event files below a folder, a grouped scalar's with its group."""
    from tensorboardX.proto.event_pb2 import Event

    tags = set()
    for path in folder.rglob("events.out.*"):
        group = path.parent.relative_to(folder)
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            tags |= {str(group) if str(group) != "." else value.tag for value in event.summary.value}
    return tags


def test_checkpoints_load_without_trust(tiny_cfg):
    run = train(tiny_cfg(), "x.yaml", "cpu")
    for path in run.models.iterdir():
        torch.load(path, weights_only=True)


def test_judging_agrees_with_training_and_writes_the_details(tiny_cfg):
    cfg = tiny_cfg(method=NCL)
    run = train(cfg, "x.yaml", "cpu")
    folder = validate(cfg, run.path, "cpu")
    judged = json.loads((folder / "results.json").read_text())
    trained = json.loads(run.results.read_text())
    assert judged["ensemble"] == trained["best"]["ensemble"]
    assert judged["experts"] == trained["best"]["experts"]
    for name in ("ensemble", "expert1", "expert2", "expert3"):
        assert (folder / f"confusion_{name}.png").is_file()
        confusion = np.load(folder / f"confusion_{name}.npz")["confusion"]
        assert confusion.sum() == 797
        with open(folder / f"per_class_{name}.csv") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 10
    assert np.trace(np.load(folder / "confusion_ensemble.npz")["confusion"]) == round(judged["ensemble"]["top1"] * 797)


def test_judging_takes_another_checkpoint_and_refuses_a_missing_one(tiny_cfg):
    run = train(tiny_cfg(), "x.yaml", "cpu")
    folder = validate(tiny_cfg("TEST.MODEL_FILE", "last.pth"), run.path, "cpu")
    last = json.loads(run.results.read_text())["last"]["ensemble"]
    assert json.loads((folder / "results.json").read_text())["ensemble"] == last
    with pytest.raises(UserError, match=r"checkpoint nothing\.pth is neither in"):
        validate(tiny_cfg("TEST.MODEL_FILE", "nothing.pth"), run.path, "cpu")
    with pytest.raises(UserError, match=r"lacks|do not fit"):
        validate(tiny_cfg(method=NCL), run.path, "cpu")


def test_a_later_run_can_start_from_earlier_weights(tiny_cfg):
    first = train(tiny_cfg(), "x.yaml", "cpu")
    start = ["NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(first.last), "TRAIN.OPTIMIZER.BASE_LR", 1e-12]
    second = train(tiny_cfg(*start, "TRAIN.MAX_EPOCH", 1), "x.yaml", "cpu")
    one, two = (read_weights(run.last)["experts.0.head.weight"] for run in (first, second))
    torch.testing.assert_close(one, two)
    with pytest.raises(UserError, match="does not exist"):
        train(tiny_cfg("NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", "absent.pth"), "x.yaml", "cpu")


def test_frozen_parts_stay(tiny_cfg):
    run = train(tiny_cfg("BACKBONE.FREEZE", True, "EVAL_MODE", True), "x.yaml", "cpu")
    torch.manual_seed(42)
    fresh = build_model(tiny_cfg(), 10)
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    load_released_weights(fresh, read_weights(run.last))
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, before[name]) == ("backbone" in name), name


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains(tiny_cfg, precision):
    run = train(tiny_cfg("TRAIN.AMP", precision, method=NCL), "x.yaml", "cpu")
    weights = read_weights(run.last)
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert weights["experts.0.head.weight"].dtype == torch.float32
    assert json.loads(run.results.read_text())["precision"] == precision


def test_adam_trains(tiny_cfg):
    run = train(tiny_cfg("TRAIN.OPTIMIZER.TYPE", "ADAM", "TRAIN.OPTIMIZER.BASE_LR", 0.003), "x.yaml", "cpu")
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    losses = [record["loss"] for record in records if record["split"] == "train"]
    assert losses[-1] < losses[0]


def test_without_validation_steps_the_last_epoch_is_judged(tiny_cfg):
    results = json.loads(train(tiny_cfg("VALID_STEP", -1, "SAVE_STEP", -1), "x.yaml", "cpu").results.read_text())
    assert results["best"]["epoch"] == results["last"]["epoch"] == 3


def test_a_partner_reaches_the_method_normalised_like_its_batch(tiny_cfg, monkeypatch):
    seen = []
    original = Plain.training_step

    def training_step(self, batch):
        seen.append(batch)
        return original(self, batch)

    monkeypatch.setattr(Plain, "training_step", training_step)
    run = train(tiny_cfg("TRAIN.SAMPLER.TYPE", "bbn sampler", "TRAIN.MAX_EPOCH", 1), "x.yaml", "cpu")
    assert len(seen) == 4
    for one in (one for batch in seen for one in (batch, batch.partner)):
        assert one.images.dtype == torch.float32
        assert one.images.min() < 0 < one.images.max() < 10  # mean 0, deviation about 1
    assert "sampling: every image once per epoch, beside it classes as n_c^-1" in run.log.read_text()
