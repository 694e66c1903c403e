"""Agreement of all processes on a small number in every step, without waiting for it."""

import torch
import torch.distributed as dist
from torch import Tensor


class Consensus:
    """Exchanges a small number between all processes and returns the largest; every process must make the same calls.

    The numbers of a call are sent while the next step is computed and are known at the next call, so no process waits.
    They are exchanged in main memory, so a GPU is never synchronized.

    Attributes:
        delayed: Whether numbers are known only at the next call; with one process they are known at once.
    """

    def __init__(self) -> None:
        self.delayed = dist.is_initialized()
        self._pending: tuple[dist.Work, Tensor] | None = None

    def exchange(self, value: int) -> int:
        """Send a number, and return the largest one of the previous call (with one process, of this call)."""
        if not self.delayed:
            return value
        known = self.settle()
        sent = torch.tensor(value)
        work = dist.all_reduce(sent, dist.ReduceOp.MAX, async_op=True)
        assert work is not None  # it is None only without async_op
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
