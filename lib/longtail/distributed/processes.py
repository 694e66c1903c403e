"""The processes of a run: a single one, or those started by torchrun."""

import atexit
import contextlib
import gc
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist

from longtail.errors import ProcessLost, UserError


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
GRACE = 30.0  # seconds in which torch itself reports a process that does not respond
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
        what = _late(timeout) if _is_late(error) else "has exited"
        raise ProcessLost(f"{_lost(world, what)} ({_first_line(error)})") from None


@contextlib.contextmanager
def connected(world: World, device: torch.device, *, timeout: float) -> Iterator[None]:
    """Within the block, this process is in the process group. Blocks may be nested.

    Tensors on GPUs are exchanged by NCCL, and those in main memory by gloo.

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
    importlib.import_module("torch.distributed.nn.functional")  # imported later, its defaults would hold the group
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        with _ends_after(timeout + GRACE, _lost(world, _late(timeout))):
            dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
            dist.all_reduce(torch.zeros(1, device=device))  # NCCL connects at its first use
    except RuntimeError as error:
        if _is_of_peer(error):
            raise
        where = ", ".join(f"{name} {os.environ[name]}" for name in RENDEZVOUS if name in os.environ)
        raise UserError(
            f"process {world.rank} of {world.size} cannot connect to the others ({where}): {_first_line(error)}"
        ) from None
    atexit.register(_end_threads, [dist.group.WORLD])
    try:
        yield
    finally:
        dist.destroy_process_group()


def _end_threads(groups: list[dist.ProcessGroup | None]) -> None:
    """Free process groups, which ends their threads.

    One that is alive when Python exits can abort the process: to free the tensors of an exchange, it needs the GIL.
    The list holds the last reference: freed by it, unlike by a network, a group waits for its threads without the GIL.
    """
    gc.collect()  # networks under DistributedDataParallel hold their group, and are part of reference cycles
    groups.clear()


@contextlib.contextmanager
def _ends_after(seconds: float, message: str) -> Iterator[None]:
    """End this process with a message and exit code 1 if the block takes longer.

    While connecting, torch waits without a limit for a process 0 that is stopped, and nothing can interrupt it.
    """

    def end() -> None:
        sys.stderr.write(f"error: {message}\n")
        sys.stderr.flush()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _lost(world: World, what: str) -> str:
    """Return the message of a process that stops because of another one."""
    return (
        f"process {world.rank} of {world.size} stopped: another process of the run {what}, see its message; the newest "
        "checkpoint is intact, and the same command resumes from it"
    )


def _late(timeout: float) -> str:
    return f"did not respond within {timeout / 60:g} minutes (TRAIN.PEER_TIMEOUT)"


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
