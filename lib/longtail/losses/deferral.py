"""Deferred re-weighting: the class-dependent part of a loss starts after some epochs."""


class Deferral:
    """Switch for the class-dependent part of a loss (DRW, Cao et al., arXiv 1906.07413).

    Args:
        start_epoch: Last epoch of plain training, counted from 1; None: on from the start.

    Attributes:
        on: Whether the class-dependent part is active.
    """

    def __init__(self, start_epoch: int | None = None) -> None:
        self.start_epoch = start_epoch
        self.on = start_epoch is None

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 1; the part is active from start_epoch + 1 on."""
        self.on = self.start_epoch is None or epoch > self.start_epoch
