"""Rows and means of all processes, with gradients."""

from typing import Any

import pytest
import torch

from longtail.distributed.gathering import average, gather, rank_and_size
from tests.helpers.processes import Results, run_processes

pytestmark = pytest.mark.slow

WORLDS = (1, 2, 3)


def work(rank: int, world: int) -> dict[str, Any]:
    rows = torch.full((2, 3), float(rank), requires_grad=True)
    everyone = gather(rows)
    (everyone * torch.arange(2.0 * world)[:, None] * (rank + 1)).sum().backward()
    loss = torch.tensor(float(rank), requires_grad=True)
    mean = average(loss)
    (3 * mean).backward()
    return {
        "world": list(rank_and_size()),
        "rows": everyone.detach(),
        "rows.grad": rows.grad,
        "mean": mean.detach(),
        "loss.grad": loss.grad,
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=WORLDS)


@pytest.mark.parametrize("world", WORLDS)
def test_gather_returns_rows_by_rank_and_sums_the_gradients_of_all_processes(results: Results, world: int) -> None:
    factor = sum(rank + 1.0 for rank in range(world))
    for rank, process in enumerate(results[world]):
        assert process["rows"][:, 0].tolist() == [row // 2 for row in range(2 * world)]
        assert process["rows.grad"][:, 0].tolist() == [factor * (2 * rank), factor * (2 * rank + 1)]


@pytest.mark.parametrize("world", WORLDS)
def test_average_returns_the_mean_and_passes_the_gradient_on(results: Results, world: int) -> None:
    for process in results[world]:
        assert process["mean"].item() == pytest.approx((world - 1) / 2)
        assert process["loss.grad"].item() == 3


@pytest.mark.parametrize("world", WORLDS)
def test_rank_and_size_returns_rank_and_size(results: Results, world: int) -> None:
    assert [process["world"] for process in results[world]] == [[rank, world] for rank in range(world)]


def test_gather_and_average_without_processes_return_their_input() -> None:
    rows = torch.ones(2, 3)
    assert gather(rows) is rows and average(rows) is rows
    assert rank_and_size() == (0, 1)
