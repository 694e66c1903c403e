"""The processes of a run: a single one, or those started by torchrun."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from longtail.errors import ProcessLost, UserError

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
RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")  # environment variables


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
        if world.size == 1 or not (isinstance(error, dist.DistError) or _is_of_peer(error)):
            raise
        late = f"did not respond within {timeout / 60:g} minutes (TRAIN.PEER_TIMEOUT)"
        raise ProcessLost(
            f"process {world.rank} of {world.size} stopped: another process of the run "
            f"{late if _is_late(error) else 'has exited'}, see its message; the newest checkpoint is intact, and the "
            f"same command resumes from it ({_first_line(error)})"
        ) from None


@contextlib.contextmanager
def connected(world: World, device: torch.device, *, timeout: float) -> Iterator[None]:
    """Within the block, this process is in the process group: NCCL for GPUs, gloo for CPUs. Blocks may be nested.

    Args:
        world: Processes of the run.
        device: Device of this process.
        timeout: Seconds after which an exchange with a process that does not respond fails.

    Raises:
        UserError: This process cannot connect: the port is in use, or there is no such network interface.
    """
    if dist.is_initialized() or world.size == 1:
        yield
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    except RuntimeError as error:
        if _is_of_peer(error):
            raise
        where = ", ".join(f"{name} {os.environ[name]}" for name in RENDEZVOUS if name in os.environ)
        raise UserError(
            f"process {world.rank} of {world.size} cannot connect to the others ({where}): {_first_line(error)}"
        ) from None
    try:
        yield
    finally:
        dist.destroy_process_group()


def _is_late(error: RuntimeError) -> bool:
    """Return whether an error of torch says that a process did not respond in time."""
    text = str(error).lower()
    return "timed out" in text or "timeout" in text


def _is_of_peer(error: RuntimeError) -> bool:
    """Return whether an error of torch is due to another process."""
    text = str(error).lower()
    return _is_late(error) or "peer" in text or "connect" in text


def _first_line(error: RuntimeError) -> str:
    """Return the first line of an error of torch, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


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
