"""Checkpoints are whole or absent, and readable without trusting them."""

import random

import numpy as np
import pytest
import torch
from longtail.engine.checkpoint import random_state, restore_random_state, save_checkpoint

from longtail.engine import checkpoint
from longtail.errors import UserError


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002


def test_random_state_survives_a_checkpoint(tmp_path):
    path = tmp_path / "state.pth"
    save_checkpoint(path, {"random": random_state()})
    first = draw()
    restore_random_state(torch.load(path, weights_only=True)["random"])
    assert draw() == first


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.pth"
    save_checkpoint(path, {"epoch": 1})

    def full(content, file):
        file.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(UserError, match=r"last\.pth cannot be written: .*No space left on device"):
        save_checkpoint(path, {"epoch": 2})
    monkeypatch.undo()
    assert torch.load(path, weights_only=True)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pth"]


def test_a_full_disk_is_told_by_torch_too(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        save_checkpoint(tmp_path / "absent" / "last.pth", {"weights": torch.ones(3)})
