"""The random generators of a process are saved with a run."""

import logging
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from longtail.checkpoint_file import read_checkpoint, save_checkpoint
from longtail.distributed import World
from longtail.runs.random_state import random_state, restore_random_state, restore_random_states, seed_everything


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(np.random.randn()), float(torch.rand(()))]  # noqa: NPY002


def test_restore_random_state_of_a_checkpoint(tmp_path: Path) -> None:
    np.random.randn()  # noqa: NPY002  (keeps the second of two normal numbers in its state)
    save_checkpoint(tmp_path / "state.pth", {"random": random_state()})
    first = draw()
    restore_random_state(read_checkpoint(tmp_path / "state.pth")["random"])
    assert draw() == first


def test_states_are_restored_in_as_many_processes() -> None:
    states = []
    for _ in range(2):
        states.append(random_state())
        draw()
    drawn = []
    for rank in (0, 1, 1):
        restore_random_states(states, World(rank, rank, 2), seed=1, epoch=2)
        drawn.append(draw())
    assert drawn[0] != drawn[1] == drawn[2]


def test_other_processes_draw_numbers_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    states, drawn = [random_state()] * 2, []
    for rank, epoch in ((0, 2), (1, 2), (2, 2), (0, 3)):
        restore_random_states(states, World(rank, rank, 3), seed=1, epoch=epoch)
        drawn.append(draw())
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 4
    restore_random_states(states, World(1, 1, 3), seed=1, epoch=2)
    assert draw() == drawn[1]
    assert "written by 2 processes, this run has 3: random numbers start from the seed" in caplog.text


@pytest.mark.parametrize(("visible", "restored"), [(2, True), (1, False), (0, False)])
def test_states_of_gpus_are_restored_if_as_many_are_visible(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, visible: int, restored: bool
) -> None:
    set_states: list[object] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", set_states.append)
    gpus = [torch.zeros(1), torch.ones(1)]
    with caplog.at_level(logging.WARNING):
        restore_random_state({**random_state(), "cuda": gpus})
    assert set_states == [gpus] * restored
    assert ("random states of 2 GPUs, 1 are visible now" in caplog.text) == (visible == 1)


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
