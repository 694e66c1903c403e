"""Evaluation over one, two and three processes counts every sample exactly once."""

import os

import pytest
import torch
from longtail.engine.assembly import autocast
from longtail.engine.distributed import World, connect, disconnect, from_main, gather_to_all, highest
from longtail.engine.evaluator import evaluate
from tiny import Tiny
from torch import nn

from longtail.data.loaders import LoaderSettings, MemoryLoader, Shard
from longtail.data.normalization import Normalize
from longtail.data.samplers import InstanceBalanced
from longtail.evaluation import Judge
from longtail.models import Expert, Network


def judge_shard(rank: int, world: int, port: int, queue) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(world)}
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    connect(World(rank, rank, world), cpu)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (53, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 5, (53,))
    network = Network([Expert(Tiny(), nn.Linear(8, 5)) for _ in range(2)])
    loader = MemoryLoader(
        images,
        [lambda images, generator: images],
        settings=LoaderSettings(
            sampler=InstanceBalanced(53, seed=0, shuffle=False),
            labels=labels,
            batch_size=7,
            seed=0,
            shard=Shard(rank, world),
        ),
    )
    judge = Judge(5, 2, [10, 5, 4, 3, 2], device=cpu)
    evaluate(network, loader, Normalize((0.5,) * 3, (0.2,) * 3), judge, cpu, autocast("off", cpu))
    others = [from_main(f"rank {rank}"), gather_to_all(rank), highest(rank * 10, cpu)]
    if rank == world - 1:
        queue.put(([state.numpy() for state in judge.state()], others))
    disconnect()


def run_world(world: int):
    context = torch.multiprocessing.get_context("fork")
    queue = context.Queue()
    port = 29500 + os.getpid() % 2000 + world
    processes = [context.Process(target=judge_shard, args=(rank, world, port, queue)) for rank in range(world)]
    for process in processes:
        process.start()
    answer = queue.get(timeout=120)
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    return answer


@pytest.mark.parametrize("world", [2, 3])
def test_every_sample_counts_once(world):
    alone, _ = run_world(1)
    together, (first, ranks, top) = run_world(world)
    for one, other in zip(alone[:3], together[:3], strict=True):  # confusion, top-k, samples: whole numbers
        assert (one == other).all()
    assert alone[3] == pytest.approx(together[3], rel=1e-12)  # the loss, summed in another order
    assert together[2][0] == 53
    assert (first, ranks, top) == ("rank 0", list(range(world)), 10 * (world - 1))
