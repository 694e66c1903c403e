"""Stopping an evaluation on request: at the same batch in every process."""

from collections.abc import Callable

import torch

from longtail.distributed import Consensus, maximum


class StopEvaluation:
    """Whether an evaluation must stop: one process after a signal, several processes once all have been informed.

    Args:
        stop_signal: Returns the signal that asks this process to stop, or 0.
        consensus: Exchange between the processes.
        batches: Batches of this process.
        device: Device of this process.

    Attributes:
        signum: The signal, the largest of all processes; 0 until they stop.
    """

    def __init__(
        self, stop_signal: Callable[[], int], consensus: Consensus, *, batches: int, device: torch.device
    ) -> None:
        self.stop_signal = stop_signal
        self.signum = 0
        self.consensus = consensus
        self.left = -maximum(-batches, device)  # batches that every process has

    def __call__(self) -> bool:
        """Return whether to stop; called before every batch."""
        self.left -= 1
        if self.left < 0:
            return False
        self.signum = self.consensus.exchange(self.stop_signal())
        if self.left == 0 and self.consensus.delayed:
            self.signum = max(self.signum, self.consensus.settle())
        return self.signum > 0
