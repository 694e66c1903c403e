"""Agreement of all processes on a small number in every step, without waiting for it."""

from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from longtail.distributed.processes import PEER_TIMEOUT


class Consensus:
    """Exchanges a small number between all processes and returns the largest; every process must make the same calls.

    The numbers of a call are sent while the next step is computed and are known at the next call, so no process waits.
    They use a separate process group on the CPU, so a GPU is never synchronized.

    Args:
        timeout: Seconds after which a process that does not respond is considered lost.

    Attributes:
        delayed: Whether numbers are known only at the next call; with one process they are known at once.
    """

    def __init__(self, timeout: float = PEER_TIMEOUT) -> None:
        self.delayed = dist.is_initialized()
        self._group: dist.ProcessGroup | None = _cpu_group(timeout) if self.delayed else None
        self._pending: tuple[dist.Work, Tensor] | None = None

    def exchange(self, value: int) -> int:
        """Send a number, and return the largest one of the previous call (with one process, of this call)."""
        if not self.delayed:
            return value
        known = self.settle()
        sent = torch.tensor(value)
        work = dist.all_reduce(sent, dist.ReduceOp.MAX, group=self._group, async_op=True)
        assert work is not None  # it is None only in processes outside the group
        self._pending = (work, sent)
        return known

    def settle(self) -> int:
        """Wait for the numbers of the last call, and return the largest one; 0 if there was no call."""
        if self._pending is None:
            return 0
        work, sent = self._pending
        self._pending = None
        work.wait()
        return int(sent)


def _cpu_group(timeout: float) -> dist.ProcessGroup:
    group = dist.new_group(
        backend="gloo", timeout=timedelta(seconds=timeout)
    )  # the default group's timeout does not apply
    assert isinstance(group, dist.ProcessGroup)  # every process is a member
    return group
