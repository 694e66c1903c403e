"""The processes of a run: a single one, or those started by torchrun."""

import contextlib
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
        restarts: How often torchrun has restarted the processes after one of them died (`--max-restarts`).
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
PEER_TIMEOUT = 600.0  # seconds


@contextlib.contextmanager
def reporting_lost_processes(world: World, *, timeout: float) -> Iterator[None]:
    """Report a failed exchange between processes in one line.

    Args:
        world: Processes of the run.
        timeout: Seconds that an exchange may take.

    Raises:
        ProcessLost: Another process has exited, or did not respond in time.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error).lower()
        late = "timed out" in text or "timeout" in text
        if world.size == 1 or not (late or isinstance(error, dist.DistError) or "peer" in text or "connect" in text):
            raise
        what = f"did not respond within {timeout / 60:g} minutes (TRAIN.PEER_TIMEOUT)" if late else "has exited"
        raise ProcessLost(
            f"process {world.rank} of {world.size} stopped: another process of the run {what}, see its message; the "
            "newest checkpoint is intact, and the same command resumes from it"
        ) from None


@contextlib.contextmanager
def connected(world: World, device: torch.device, *, timeout: float) -> Iterator[None]:
    """Within the block, this process is in the process group: NCCL for GPUs, gloo for CPUs. Blocks may be nested.

    Args:
        world: Processes of the run.
        device: Device of this process.
        timeout: Seconds after which an exchange with a process that does not respond fails.
    """
    if dist.is_initialized() or world.size == 1:
        yield
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
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
    """Copy the buffers of process 0 to every process: batch-norm statistics differ, because the samples do."""
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
    """Return the value of process 0 in every process."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def main_only(work: Callable[[], T]) -> T:
    """Call a function in process 0 while the others wait (up to 30 days); return its result in all of them."""
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
