"""Stopping a pass over images, such as an evaluation, on request: at the same batch in every process."""

import torch

from longtail.distributed import maximum
from longtail.engine.requests import Requests


class StopEvaluation:
    """Whether a pass over images must stop: one process after a signal, several processes once all have been informed.

    Args:
        requests: Requests of the processes.
        batches: Batches of this process.
        device: Device of this process.

    Attributes:
        signum: The signal, the largest of all processes; 0 until they stop.
    """

    def __init__(self, requests: Requests, *, batches: int, device: torch.device) -> None:
        self.requests = requests
        self.signum = 0
        self.left = -maximum(-batches, device)  # batches that every process has

    def __call__(self) -> bool:
        """Return whether to stop; called before every batch."""
        self.left -= 1
        if self.left < 0:
            return False
        consensus = self.requests.consensus
        self.signum = consensus.exchange(self.requests.stop_signal())
        if self.left == 0 and consensus.delayed:
            self.signum = max(self.signum, consensus.settle())
        return self.signum > 0
