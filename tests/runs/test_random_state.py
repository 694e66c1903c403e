"""The random generators of a process are saved with a run."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from longtail.checkpoint_file import read_checkpoint, save_checkpoint
from longtail.runs.random_state import random_state, restore_random_state, seed_everything


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(np.random.randn()), float(torch.rand(()))]  # noqa: NPY002


def test_restore_random_state_of_a_checkpoint(tmp_path: Path) -> None:
    np.random.randn()  # noqa: NPY002  (keeps the second of two normal numbers in its state)
    save_checkpoint(tmp_path / "state.pth", {"random": random_state()})
    first = draw()
    restore_random_state(read_checkpoint(tmp_path / "state.pth")["random"])
    assert draw() == first


def test_seed_everything_seeds_all_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("deterministic", "benchmark"):
        monkeypatch.setattr(torch.backends.cudnn, name, getattr(torch.backends.cudnn, name))
    seed_everything(3, deterministic=True)
    first = draw()
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (True, False)
    seed_everything(3, deterministic=False)
    assert draw() == first
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (False, True)
    seed_everything(4, deterministic=False)
    assert all(one != other for one, other in zip(draw(), first, strict=True))
