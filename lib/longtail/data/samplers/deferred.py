"""Deferred re-sampling (DRS, Cao et al., arXiv 1906.07413): learn features first, balance later."""

from torch import Tensor

from longtail.data.samplers.base import Sampler


class Deferred(Sampler):
    """One sampler until an epoch, another one after it.

    Args:
        before: draws up to and including `start_epoch`.
        after: draws from `start_epoch` + 1 on.
        start_epoch: the last epoch of plain sampling, counted from 1.
    """

    def __init__(self, before: Sampler, after: Sampler, start_epoch: int) -> None:
        super().__init__(before.length)
        self.before = before
        self.after = after
        self.start_epoch = start_epoch

    def indices(self, epoch: int) -> Tensor:
        """Return the order of the one whose turn it is, see `Sampler.indices`."""
        return (self.after if epoch > self.start_epoch else self.before).indices(epoch)

    def __str__(self) -> str:
        return f"{self.before}, after epoch {self.start_epoch} {self.after}"
