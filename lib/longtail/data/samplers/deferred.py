"""Deferred re-sampling (DRS, Cao et al., arXiv 1906.07413): instance-balanced epochs first, re-balanced ones later."""

from torch import Tensor

from longtail.data.samplers.base import Sampler


class Deferred(Sampler):
    """Uses one sampler up to an epoch, and another one after it.

    Args:
        before: Sampler of the epochs up to and including `start_epoch`.
        after: Sampler of the epochs from `start_epoch` + 1.
        start_epoch: Last epoch of the first sampler, counted from 1.
    """

    def __init__(self, before: Sampler, after: Sampler, *, start_epoch: int) -> None:
        super().__init__(before.length)
        self.before = before
        self.after = after
        self.start_epoch = start_epoch

    def indices(self, epoch: int) -> Tensor:
        """Return the order of the sampler of this epoch, see `Sampler.indices`."""
        return (self.after if epoch > self.start_epoch else self.before).indices(epoch)

    def __str__(self) -> str:
        return f"{self.before}, after epoch {self.start_epoch} {self.after}"
