"""Stopping an evaluation on request: at the same batch in every process."""

from collections.abc import Callable

import torch

from longtail.distributed import Consensus, maximum


class StopEvaluation:
    """Whether an evaluation must stop: one process after a signal, several processes once all have been informed.

    Args:
        asked: Returns whether this process has been asked to stop.
        consensus: Exchange between the processes.
        batches: Batches of this process.
        device: Device of this process.
    """

    def __init__(self, asked: Callable[[], bool], consensus: Consensus, *, batches: int, device: torch.device) -> None:
        self.asked = asked
        self.consensus = consensus
        self.left = -maximum(-batches, device)  # batches that every process has

    def __call__(self) -> bool:
        """Return whether to stop; called before every batch."""
        self.left -= 1
        if self.left < 0:
            return False
        stop = self.consensus.exchange(int(self.asked()))
        if self.left == 0:
            stop = max(stop, self.consensus.settle() if self.consensus.delayed else 0)
        return bool(stop)
