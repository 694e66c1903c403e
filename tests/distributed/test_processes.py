"""Communication between the processes of a run."""

import time
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from longtail.distributed import (
    Consensus,
    World,
    from_main,
    gather_to_all,
    main_only,
    maximum,
    share_buffers,
    sum_over_processes,
)
from longtail.distributed.processes import connected
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

    consensus = Consensus()
    exchanged = [consensus.exchange(10 * step + rank) for step in range(3)]
    return {
        "sums": [tensor.tolist() for tensor in tensors],
        "mean": norm.state_dict()["running_mean"].tolist(),
        "maximum": maximum(10 * rank, CPU),
        "from_main": from_main({"rank": rank}),
        "gathered": gather_to_all([rank]),
        "main_only": main_only(slow),
        "calls": calls,
        "exchanged": [*exchanged, consensus.settle(), consensus.settle()],
        "delayed": consensus.delayed,
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


@everywhere
def test_consensus_returns_the_largest_number_of_the_call_before(results: Results, world: int) -> None:
    """Before the first call it is 0; the last one is settled once."""
    top = world - 1
    assert of(results, world, "exchanged") == [[0, top, 10 + top, 20 + top, 0]] * world
    assert of(results, world, "delayed") == [True] * world


def test_exchanges_without_processes_are_local() -> None:
    assert not dist.is_initialized()
    tensor, norm = torch.tensor(2.0), norm_with(3.0)
    sum_over_processes([tensor])
    share_buffers(norm)
    assert tensor == 2 and norm.state_dict()["running_mean"].tolist() == [3.0, 3.0]
    value = object()
    assert maximum(7, CPU) == 7
    assert from_main(value) is value and gather_to_all(value) == [value] and main_only(lambda: value) is value
    consensus = Consensus()
    assert not consensus.delayed
    assert [consensus.exchange(step) for step in (1, 2)] == [1, 2] and consensus.settle() == 0


def test_connected_is_nothing_for_a_single_process() -> None:
    with connected(World(), CPU, timeout=60):
        assert not dist.is_initialized()


def nested(rank: int, world: int) -> list[bool]:
    before = dist.is_initialized()
    with connected(World(rank, rank, world), CPU, timeout=60):
        inside = dist.is_initialized()
    return [before, inside, dist.is_initialized()]


def test_connected_inside_of_a_group_leaves_it_open(tmp_path_factory: pytest.TempPathFactory) -> None:
    results = run_processes(nested, tmp_path_factory.mktemp("worlds"), worlds=[2])
    assert results[2] == [[True, True, True]] * 2


def silent(rank: int, world: int) -> str:
    """Let process 0 wait for a number that process 1 never sends."""
    consensus = Consensus(timeout=0.5)
    if rank == 1:
        time.sleep(3)
        return ""
    consensus.exchange(1)
    try:
        consensus.settle()
    except RuntimeError as error:
        return str(error).lower()
    return "answered"


def test_consensus_does_not_wait_longer_than_its_timeout(tmp_path_factory: pytest.TempPathFactory) -> None:
    results = run_processes(silent, tmp_path_factory.mktemp("worlds"), worlds=[2])
    assert "timed out" in results[2][0] or "timeout" in results[2][0]
