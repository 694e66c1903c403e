"""The processes of a run."""

import os
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from longtail.distributed import World, processes
from longtail.distributed.processes import connected
from tests.helpers.processes import run_processes

CPU = torch.device("cpu")


def test_connected_is_nothing_for_a_single_process() -> None:
    with connected(World(), CPU, timeout=60):
        assert not dist.is_initialized()


def nested(rank: int, world: int) -> list[bool]:
    before = dist.is_initialized()
    with connected(World(rank, rank, world), CPU, timeout=60):
        inside = dist.is_initialized()
    return [before, inside, dist.is_initialized()]


@pytest.mark.slow
def test_connected_inside_of_a_group_leaves_it_open(tmp_path: Path) -> None:
    assert run_processes(nested, tmp_path, worlds=[2])[2] == [[True, True, True]] * 2


@pytest.mark.slow
def test_process_that_cannot_finish_connecting_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch may wait without a limit for a process 0 that is stopped while the others connect."""
    monkeypatch.setattr(processes, "GRACE", 0.1)
    monkeypatch.setattr(dist, "init_process_group", lambda *arguments, **options: time.sleep(60))
    output = tmp_path / "stderr"
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        sys.stderr = output.open("w")
        with connected(World(1, 1, 2), CPU, timeout=0.3):
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert output.read_text() == (
        "error: process 1 of 2 stopped: another process of the run did not respond within 0.005 minutes "
        "(TRAIN.PEER_TIMEOUT), see its message; the newest checkpoint is intact, and the same command resumes from it\n"
    )
