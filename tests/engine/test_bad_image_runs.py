"""Whole runs in which some images cannot be read."""

import json
import signal

import pytest
import torch
from longtail.engine.judging import validate

from longtail.config import load_config
from longtail.engine import judging
from longtail.engine.interrupts import Interrupted
from longtail.engine.trainer import Trainer
from longtail.engine.training import train
from longtail.errors import UserError
from longtail.models import read_checkpoint


@pytest.fixture
def cfg(image_folder, tmp_path):
    """Return a maker of trees: twelve images in files, three of them damaged, two epochs of three batches."""
    files = {split: image_folder(split, [0, 1, 2] * 4, 3, ((68, 68),)) for split in ("train", "valid")}
    for damaged in ("train/2.png", "train/7.png", "valid/4.png"):
        (tmp_path / damaged).write_bytes(b"")

    def make(*overrides):
        settings = [
            *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", files["train"]),
            *("DATASET.VALID_JSON", files["valid"], "DATASET.VIEWS", ["crop_flip"], "OUTPUT_DIR", str(tmp_path / "o")),
            *("TRAIN.BATCH_SIZE", 4, "TRAIN.MAX_EPOCH", 2, "TRAIN.NUM_WORKERS", 1, "TEST.NUM_WORKERS", 0),
            *("TRAIN.TENSORBOARD.ENABLE", False, "DATASET.ON_BAD_IMAGE", "skip", "BACKBONE.TYPE", "tiny"),
        ]
        return load_config(None, [*settings, *overrides])

    return make


def outcome(run):
    results = json.loads(run.results.read_text())
    results.pop("seconds")
    return results


def test_a_run_goes_on_names_the_files_and_is_continued_bit_for_bit(cfg, tmp_path, monkeypatch):
    whole = train(cfg("NAME", "whole"), "x.yaml", "cpu")
    bad = outcome(whole)["bad_images"]
    assert bad == {
        "count": 3,
        "files": [str(tmp_path / file) for file in ("train/2.png", "train/7.png", "valid/4.png")],
    }

    original, done = Trainer._step, 0

    def step(self, batch):
        nonlocal done
        done += 1
        if done == 5:
            signal.raise_signal(signal.SIGTERM)
        return original(self, batch)

    monkeypatch.setattr(Trainer, "_step", step)
    with pytest.raises(Interrupted):
        train(cfg("NAME", "stopped"), "x.yaml", "cpu")
    stopped = train(cfg("NAME", "stopped"), "x.yaml", "cpu")
    assert outcome(stopped) == outcome(whole)
    first, second = read_checkpoint(whole.last), read_checkpoint(stopped.last)
    assert first["bad_files"] == second["bad_files"] == bad["files"]
    for name, weights in first["model"].items():
        assert torch.equal(weights, second["model"][name]), name

    monkeypatch.setattr(judging, "_write_details", lambda *args: None)
    judged = validate(cfg(), whole.path, "cpu")
    assert json.loads((judged / "results.json").read_text())["bad_images"]["files"] == bad["files"][2:]


def test_without_bad_images_results_and_checkpoints_have_the_keys_they_had(cfg, tmp_path):
    for damaged in ("train/2.png", "train/7.png", "valid/4.png"):
        (tmp_path / damaged).write_bytes((tmp_path / "train/0.png").read_bytes())
    run = train(cfg("TRAIN.MAX_EPOCH", 1), "x.yaml", "cpu")
    assert "bad_images" not in outcome(run)
    assert "bad_files" not in read_checkpoint(run.last)


def test_too_many_bad_images_end_the_run(cfg):
    with pytest.raises(UserError, match=r"DATASET.BAD_IMAGE_LIMIT \(1\) allows; the last: image .*png cannot be read"):
        train(cfg("DATASET.BAD_IMAGE_LIMIT", 1), "x.yaml", "cpu")
