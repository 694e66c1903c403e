"""Contrastive NCL over one, two and three processes: one queue, keys in the order of the images."""

from typing import Any

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from longtail.data import Batch
from tests.helpers.contrastive_training import batch, build, train
from tests.helpers.processes import Results, run_processes

pytestmark = pytest.mark.slow

WORLDS = (1, 2, 3)
STEPS = 4


def shard(whole: Batch, *, rank: int, world: int) -> Batch:
    """Return a process's part of a batch, as the loaders do it: neighboring images."""
    size = len(whole.labels) // world
    own = slice(rank * size, (rank + 1) * size)
    return Batch(whole.images[:, own], whole.labels[own], whole.indices[own])


def work(rank: int, world: int) -> dict[str, Any]:
    queues = {}
    for backbone in ("small", "small_norm"):
        method, network = build(backbone=backbone, wrap=DistributedDataParallel)
        train(method, network, [shard(batch(number), rank=rank, world=world) for number in range(STEPS)])
        queues[backbone] = method.queue.state_dict()
    return queues


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=WORLDS)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("backbone", ["small", "small_norm"])
def test_contrastive_queues_are_equal_in_all_processes(results: Results, world: int, backbone: str) -> None:
    first, *others = (process[backbone] for process in results[world])
    assert int(first["pointer"]) == STEPS * 6 % 16
    for other in others:
        assert torch.equal(first["keys"], other["keys"])
        assert torch.equal(first["pointer"], other["pointer"])


@pytest.mark.parametrize("world", WORLDS[1:])
def test_contrastive_queue_without_batch_norm_is_that_of_one_process(results: Results, world: int) -> None:
    """So its keys are in the order of the whole batch, and key encoder and gradients are equal too."""
    torch.testing.assert_close(results[world][0]["small"]["keys"], results[1][0]["small"]["keys"])
