"""Requests to the training loop between two batches: to save, or to save and stop."""

import os
import signal
import time

from longtail.distributed import Consensus
from longtail.engine.interrupts import Interrupts
from longtail.engine.training import Plan

PATIENCE = 30.0  # torchrun kills its processes this number of seconds after it has forwarded a signal
NOTHING, SAVE = 0, 1  # requests; larger ones are the numbers of signals with which all processes save and stop


class Requests:
    """What signals and the age of the newest checkpoint request; the largest request of all processes is used.

    With several processes, the request of a step is known one step later.

    Args:
        plan: Plan of the training.
        processes: Number of processes of the run.

    Attributes:
        interrupts: Context in which signals are recorded.
        consensus: Exchange between the processes.
        alone: Whether there is only this process.
    """

    def __init__(self, plan: Plan, processes: int) -> None:
        self.alone = processes == 1
        self.interrupts = Interrupts(0.0 if self.alone else PATIENCE)
        self.consensus = Consensus()
        self._checkpoint_seconds = plan.checkpoint_seconds
        self._parent = os.getppid()
        self._saved = time.monotonic()
        self._answered = False  # whether the last step returned a request

    def saved(self) -> None:
        """Note that the state was saved: the next request to save comes CHECKPOINT_MINUTES later."""
        self._saved = time.monotonic()

    def stop_signal(self) -> int:
        """Return the signal that asks this process to stop (SIGTERM if its launcher has died), or 0."""
        orphaned = not self.alone and os.getppid() != self._parent
        return self.interrupts.received or (signal.SIGTERM if orphaned else 0)

    def exchange(self) -> int:
        """Send the request of this process, and return the one to answer now."""
        old = time.monotonic() - self._saved > self._checkpoint_seconds
        return self._new(self.consensus.exchange(self.stop_signal() or (SAVE if old else NOTHING)))

    def settle(self) -> int:
        """Wait for the requests of the last step, and return the one to answer."""
        return self._new(self.consensus.settle())

    def _new(self, request: int) -> int:
        """Return a request, or NOTHING for a request to save that was sent before the last one was answered."""
        if request == SAVE and self._answered:
            request = NOTHING
        self._answered = request != NOTHING and self.consensus.delayed
        return request
