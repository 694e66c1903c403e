"""Exchanges of values between the processes of a run."""

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from longtail.distributed import (
    exchanges,
    from_main,
    gather_to_all,
    main_only,
    maximum,
    share_buffers,
    sum_over_processes,
)
from tests.helpers.processes import Results, run_processes

pytestmark = pytest.mark.slow

WORLDS = (1, 2, 3)
CPU = torch.device("cpu")


def norm_with(mean: float) -> nn.BatchNorm1d:
    """Return a batch norm with a running mean."""
    norm = nn.BatchNorm1d(2)
    assert norm.running_mean is not None
    norm.running_mean.fill_(mean)
    return norm


def work(rank: int, world: int) -> dict[str, Any]:
    tensors = [torch.tensor([rank + 1.0, 2.0]), torch.tensor(rank)]
    sum_over_processes(tensors)
    norm = norm_with(float(rank + 5))
    share_buffers(norm)
    calls: list[int] = []

    def slow() -> str:
        time.sleep(0.2)
        calls.append(rank)
        return f"made by {rank}"

    return {
        "sums": [tensor.tolist() for tensor in tensors],
        "mean": norm.state_dict()["running_mean"].tolist(),
        "maximum": maximum(10 * rank, CPU),
        "from_main": from_main({"rank": rank}),
        "gathered": gather_to_all([rank]),
        "main_only": main_only(slow),
        "calls": calls,
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=WORLDS)


everywhere = pytest.mark.parametrize("world", WORLDS)


def of(results: Results, world: int, name: str) -> list[Any]:
    return [process[name] for process in results[world]]


@everywhere
def test_sum_over_processes(results: Results, world: int) -> None:
    ranks = range(world)
    assert of(results, world, "sums") == [[[sum(ranks) + world, 2.0 * world], sum(ranks)]] * world


@everywhere
def test_share_buffers_copies_those_of_process_0(results: Results, world: int) -> None:
    assert of(results, world, "mean") == [[5.0, 5.0]] * world


@everywhere
def test_maximum(results: Results, world: int) -> None:
    assert of(results, world, "maximum") == [10 * (world - 1)] * world


@everywhere
def test_from_main_returns_the_value_of_process_0(results: Results, world: int) -> None:
    assert of(results, world, "from_main") == [{"rank": 0}] * world


@everywhere
def test_gather_to_all_is_in_the_order_of_the_ranks(results: Results, world: int) -> None:
    assert of(results, world, "gathered") == [[[rank] for rank in range(world)]] * world


@everywhere
def test_main_only_calls_in_process_0_and_returns_everywhere(results: Results, world: int) -> None:
    assert of(results, world, "main_only") == ["made by 0"] * world
    assert of(results, world, "calls") == [[0], *[[]] * (world - 1)]


def test_exchanges_without_processes_are_local() -> None:
    assert not dist.is_initialized()
    tensor, norm = torch.tensor(2.0), norm_with(3.0)
    sum_over_processes([tensor])
    share_buffers(norm)
    assert tensor == 2 and norm.state_dict()["running_mean"].tolist() == [3.0, 3.0]
    value = object()
    assert maximum(7, CPU) == 7
    assert from_main(value) is value and gather_to_all(value) == [value] and main_only(lambda: value) is value


# main_only, with a timeout of a second


@pytest.fixture
def frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let process 0 tell every 0.1 seconds that it is alive."""
    monkeypatch.setattr(exchanges, "BEAT", 0.1)


def message_of_main_only(work: Callable[[], Any]) -> str:
    """Return the message of a failed call, in lower case; "" if it returns."""
    try:
        main_only(work)
    except RuntimeError as error:
        return str(error).lower()
    return ""


def long_work(rank: int, world: int) -> list[int]:
    def gather() -> list[int]:
        time.sleep(3)
        return [rank, world]

    return main_only(gather)


@pytest.mark.usefixtures("frequent")
def test_main_only_may_take_longer_than_the_timeout(tmp_path: Path) -> None:
    worlds = (2, 3)
    results = run_processes(long_work, tmp_path, worlds=worlds, timeout=1)
    assert results == {world: [[0, world]] * world for world in worlds}


def stopped_work(rank: int, world: int) -> str:
    """Stop process 0 inside of its work, until process 1 has given up."""
    pids = gather_to_all(os.getpid())
    message = message_of_main_only(lambda: signal.raise_signal(signal.SIGSTOP))
    if rank == 1:
        os.kill(pids[0], signal.SIGCONT)
    return message


@pytest.mark.usefixtures("frequent")
def test_main_only_does_not_wait_for_a_process_0_that_is_stopped(tmp_path: Path) -> None:
    _, waiting = run_processes(stopped_work, tmp_path, worlds=[2], timeout=1)[2]
    assert "timed out" in waiting or "timeout" in waiting


def absent(rank: int, world: int) -> bool:
    """Return in process 1, which comes 3 seconds late, whether process 0 has stopped waiting for it."""
    ended = Path(from_main(tempfile.mkdtemp())) / "ended"
    if rank == 1:
        time.sleep(3)
        return ended.exists()
    message_of_main_only(lambda: None)
    ended.touch()
    return True


@pytest.mark.usefixtures("frequent")
def test_main_only_does_not_wait_for_a_process_that_does_not_come(tmp_path: Path) -> None:
    assert run_processes(absent, tmp_path, worlds=[2], timeout=1)[2] == [True, True]


def failing_work(rank: int, world: int) -> str:
    """Return how the error of process 0 arrives."""

    def fail() -> None:
        raise RuntimeError("no work today")

    message = message_of_main_only(fail)
    if rank == 0:
        dist.destroy_process_group()  # as its end does
    return message


def test_main_only_fails_everywhere_if_the_work_fails(tmp_path: Path) -> None:
    main, other = run_processes(failing_work, tmp_path, worlds=[2], timeout=60)[2]
    assert main == "no work today"
    assert "peer" in other or "connect" in other
