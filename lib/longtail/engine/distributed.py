"""The processes of a run: one, or those that torchrun started."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from longtail.errors import ProcessLost, UserError


class World(NamedTuple):
    """This process among those of the run.

    Attributes:
        rank: number of this process, from 0; process 0 writes the files.
        local_rank: its number on this machine.
        size: processes in all.
        restarts: how often torchrun has started the processes anew after one of them had died (`--max-restarts`).
    """

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    restarts: int = 0

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0


def launched_world() -> World:
    """Return the place that torchrun gave this process; a world of one when it was started alone."""
    names = (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1), ("TORCHELASTIC_RESTART_COUNT", 0))
    return World(*(int(os.environ.get(name, default)) for name, default in names))


@contextlib.contextmanager
def lost_processes_told(world: World) -> Iterator[None]:
    """Turn the failure of an exchange between processes into a message that says what to do.

    Raises:
        ProcessLost: another process is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if world.size == 1 or not (isinstance(error, dist.DistError) or "peer" in str(error)):
            raise
        raise ProcessLost(
            f"process {world.rank} of {world.size} stopped: another process of the run is gone, see its own message; "
            "the newest checkpoint is safe, the same command goes on from it"
        ) from None


def connect(world: World, device: torch.device) -> None:
    """Join the process group: NCCL between GPUs, gloo between CPUs. A world of one needs none."""
    if world.size > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def disconnect() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def sum_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, in place."""
    if dist.is_initialized():
        for tensor in tensors:
            dist.all_reduce(tensor)


def check_synchronised(device: torch.device, world: World) -> None:
    """Refuse TRAIN.SYNCBN where there is no such batch norm.

    Raises:
        UserError: there are several processes on CPUs.
    """
    if world.size > 1 and device.type == "cpu":
        raise UserError(
            f"TRAIN.SYNCBN is True, for {world.size} processes on CPUs; batch norms can be synchronised on GPUs only, "
            "False lets each process normalise by itself"
        )


def synchronise_norms(module: nn.Module, world: World) -> None:
    """Give the batch norms inside a module the statistics of all processes together (SyncBN), in place.

    Parameters stay the same objects under the same names. In one process there is nothing to synchronise.
    """
    if world.size > 1:
        nn.SyncBatchNorm.convert_sync_batchnorm(module)


def share_buffers(network: nn.Module) -> None:
    """Give every process the buffers of process 0: batch-norm statistics differ where each saw other samples."""
    if dist.is_initialized():
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def highest(value: int, device: torch.device) -> int:
    """Return the largest value of all processes; every process gets the same answer."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, device=device)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def from_main(value: Any) -> Any:
    """Return process 0's value in every process."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def gather_to_all(value: Any) -> list[Any]:
    """Return the values of all processes, in the order of their ranks."""
    if not dist.is_initialized():
        return [value]
    box: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(box, value)
    return box
