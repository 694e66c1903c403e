"""The processes of a run: a single one, or those started by torchrun."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from longtail.errors import ProcessLost

T = TypeVar("T")


class World(NamedTuple):
    """This process among those of the run.

    Attributes:
        rank: Index of this process; process 0 writes the files.
        local_rank: Its index on this machine.
        size: Number of processes.
        restarts: How often torchrun has restarted the processes after one of them had died (`--max-restarts`).
    """

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    restarts: int = 0

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0


SINGLE_PROCESS = World()


def launched_world() -> World:
    """Return the world that torchrun has set in the environment; a single process without torchrun."""
    names = (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1), ("TORCHELASTIC_RESTART_COUNT", 0))
    return World(*(int(os.environ.get(name, default)) for name, default in names))


@contextlib.contextmanager
def reporting_lost_processes(world: World) -> Iterator[None]:
    """Turn a failed exchange between processes into a message that says what to do.

    Raises:
        ProcessLost: Another process has exited.
    """
    try:
        yield
    except RuntimeError as error:
        if world.size == 1 or not (isinstance(error, dist.DistError) or "peer" in str(error)):
            raise
        raise ProcessLost(
            f"process {world.rank} of {world.size} stopped: another process of the run has exited, see its message; "
            "the newest checkpoint is safe, the same command resumes from it"
        ) from None


@contextlib.contextmanager
def connected(world: World, device: torch.device) -> Iterator[None]:
    """Within the block, be in the process group: NCCL between GPUs, gloo between CPUs. Blocks may be nested."""
    if dist.is_initialized() or world.size == 1:
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def sum_over_processes(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each tensor by its sum over all processes, in place."""
    if dist.is_initialized():
        for tensor in tensors:
            dist.all_reduce(tensor)


def share_buffers(network: nn.Module) -> None:
    """Copy the buffers of process 0 to every process: batch-norm statistics differ, as each has seen other samples."""
    if dist.is_initialized():
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def maximum(value: int, device: torch.device) -> int:
    """Return the largest value of all processes, in each of them."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, device=device)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def from_main(value: T) -> T:
    """Return process 0's value in every process."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def main_only(work: Callable[[], T]) -> T:
    """Call a function in process 0 while the others wait, however long it takes; return its result in all of them."""
    if not dist.is_initialized():
        return work()
    group: Any = dist.new_group(backend="gloo", timeout=timedelta(days=30))
    box: list[Any] = [work() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(box, group=group)
    dist.destroy_process_group(group)
    result: T = box[0]
    return result


def gather_to_all(value: T) -> list[T]:
    """Return the values of all processes, in the order of their ranks."""
    if not dist.is_initialized():
        return [value]
    box: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(box, value)
    return box
