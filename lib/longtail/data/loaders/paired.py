"""Batches with a partner batch that another sampler draws."""

from collections.abc import Iterator

from longtail.data.batch import Batch
from longtail.data.loaders.base import Loader
from longtail.data.loaders.wrapper import LoaderWrapper


class PairedLoader(LoaderWrapper):
    """Loads the batches of one loader, each with a partner batch from another.

    Args:
        first: Loader of the batches.
        second: Loader of the partners; as long as the first.
    """

    def __init__(self, first: Loader, second: Loader) -> None:
        super().__init__(first, second)
        self.first = first
        self.second = second

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, see `Loader.epoch`."""
        for batch, partner in zip(self.first.epoch(epoch, start), self.second.epoch(epoch, start), strict=True):
            yield batch._replace(partner=partner)

    def peek(self, number: int) -> Batch:
        """See `Loader.peek`."""
        return self.first.peek(number)._replace(partner=self.second.peek(number))
