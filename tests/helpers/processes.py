"""The same function in several connected gloo processes."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # DistributedDataParallel imports it: once here instead of in every process
import torch.distributed as dist

Results = dict[int, list[Any]]  # number of processes -> result of each rank


def run_processes(
    work: Callable[[int, int], Any], folder: Path, *, worlds: Sequence[int], timeout: float = 300.0
) -> Results:
    """Return the results of `work(rank, number of processes)` in one set of processes per world, all at once.

    Args:
        work: Returns tensors and plain values.
        folder: Empty folder.
        worlds: Numbers of processes.
        timeout: Seconds after which an exchange with a process that does not respond fails.
    """
    context = torch.multiprocessing.get_context("fork")
    started = [
        context.Process(target=_work, args=(work, rank, world, folder, timeout))
        for world in worlds
        for rank in range(world)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=300)
        assert process.exitcode == 0
    return {world: [torch.load(folder / f"{world}-{rank}.pt") for rank in range(world)] for world in worlds}


def _work(work: Callable[[int, int], Any], rank: int, world: int, folder: Path, timeout: float) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting{world}"
    dist.init_process_group(
        "gloo", init_method=meeting, rank=rank, world_size=world, timeout=timedelta(seconds=timeout)
    )
    dist.barrier()  # a process that ends before the others are connected would make their connecting fail
    torch.save(work(rank, world), folder / f"{world}-{rank}.pt")
    if dist.is_initialized():
        dist.destroy_process_group()
