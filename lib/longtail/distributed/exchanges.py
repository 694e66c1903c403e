"""Exchanges of values between the processes of a run; without processes, they are local."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn

T = TypeVar("T")
BEAT = 1.0  # seconds, less than the smallest TRAIN.PEER_TIMEOUT


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
    """Call a function in process 0 while the others wait; return its result in all of them.

    The work may take any time: process 0 tells the others every second that it is alive.
    """
    if not dist.is_initialized():
        return work()
    if dist.get_rank() == 0:
        with _telling_alive():
            result = work()
        _tell(done=True)
        return from_main(result)
    while not _tell(done=False):  # received from process 0
        pass
    return from_main(cast(T, None))


@contextlib.contextmanager
def _telling_alive() -> Iterator[None]:
    """Within the block, a thread tells the other processes that the work is not done."""
    ended = threading.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # a lost process: the next exchange of this process reports it
            while not ended.wait(BEAT):
                _tell(done=False)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tell(*, done: bool) -> bool:
    """Send whether the work is done from process 0; return what it sent."""
    shared = torch.tensor(done)
    dist.broadcast(shared, 0)
    return bool(shared)


def gather_to_all(value: T) -> list[T]:
    """Return the values of all processes, in the order of their ranks."""
    if not dist.is_initialized():
        return [value]
    box: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(box, value)
    return box
