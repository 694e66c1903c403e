"""Agreement of all processes on a small number."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from longtail.distributed import Consensus
from tests.helpers.processes import run_processes


def exchanged(rank: int, world: int) -> list[Any]:
    consensus = Consensus()
    numbers = [consensus.exchange(10 * step + rank) for step in range(3)]
    return [*numbers, consensus.settle(), consensus.settle(), consensus.delayed]


@pytest.mark.slow
def test_returns_the_largest_number_of_the_call_before(tmp_path: Path) -> None:
    """Before the first call it is 0; the last one is settled once."""
    results = run_processes(exchanged, tmp_path, worlds=[1, 2, 3])
    for world, numbers in results.items():
        top = world - 1
        assert numbers == [[0, top, 10 + top, 20 + top, 0, True]] * world


def test_without_processes_it_is_local() -> None:
    assert not dist.is_initialized()
    consensus = Consensus()
    assert not consensus.delayed
    assert [consensus.exchange(step) for step in (1, 2)] == [1, 2] and consensus.settle() == 0


def silent(rank: int, world: int) -> str:
    """Let process 0 wait for a number that process 1 never sends."""
    consensus = Consensus()
    if rank == 1:
        time.sleep(3)
        return ""
    consensus.exchange(1)
    try:
        consensus.settle()
    except RuntimeError as error:
        return str(error).lower()
    return "answered"


@pytest.mark.slow
def test_does_not_wait_longer_than_the_timeout(tmp_path: Path) -> None:
    results = run_processes(silent, tmp_path, worlds=[2], timeout=0.5)
    assert "timed out" in results[2][0] or "timeout" in results[2][0]
