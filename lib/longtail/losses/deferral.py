"""Deferred re-weighting: what a loss does about the tail begins after some epochs."""


class Deferral:
    """Says whether the class-dependent part of a loss is on (DRW, Cao et al., arXiv 1906.07413).

    Args:
        start_epoch: the last epoch of plain training, counted from 1; None: on from the beginning.
    """

    def __init__(self, start_epoch: int | None = None) -> None:
        self.start_epoch = start_epoch
        self.on = start_epoch is None

    def set_epoch(self, epoch: int) -> None:
        """Switch according to the epoch that is about to be trained; on from start_epoch + 1."""
        self.on = self.start_epoch is None or epoch > self.start_epoch
