"""Stopping an evaluation on request: at the same batch in every process."""

from collections.abc import Callable

import torch

from longtail.distributed import Consensus, maximum


class StopEvaluation:
    """Whether an evaluation must stop: in one process after a signal, in several when all know of it.

    Args:
        asked: Returns whether this process is asked to stop.
        consensus: Of the processes.
        batches: Batches of this process.
        device: Device of this process.
    """

    def __init__(self, asked: Callable[[], bool], consensus: Consensus, *, batches: int, device: torch.device) -> None:
        self.asked = asked
        self.consensus = consensus
        self.left = -maximum(-batches, device)  # batches that every process has

    def __call__(self) -> bool:
        """Return whether to stop; asked before every batch."""
        self.left -= 1
        if self.left < 0:
            return False
        stop = self.consensus.exchange(int(self.asked()))
        if self.left == 0:
            stop = max(stop, self.consensus.settle() if self.consensus.delayed else 0)
        return bool(stop)
