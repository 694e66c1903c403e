"""Batches with a partner batch that another sampler draws."""

from collections.abc import Callable, Iterator

from longtail.data.batch import Batch
from longtail.data.loaders.base import Loader


class PairedLoader(Loader):
    """Loads the batches of one loader, each with a partner batch from another.

    Args:
        first: Loader of the batches.
        second: Loader of the partners; as long as the first.
    """

    def __init__(self, first: Loader, second: Loader) -> None:
        super().__init__(first.settings)
        self.first = first
        self.second = second

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, see `Loader.epoch`."""
        for batch, partner in zip(self.first.epoch(epoch, start), self.second.epoch(epoch, start), strict=True):
            yield batch._replace(partner=partner)

    def peek(self, number: int) -> Batch:
        """See `Loader.peek`."""
        return self.first.peek(number)._replace(partner=self.second.peek(number))

    def check_memory(self, batch: Batch) -> None:
        """See `Loader.check_memory`."""
        self.first.check_memory(batch)
        self.second.check_memory(batch)

    def on_wait(self, callback: Callable[[], None]) -> None:
        """See `Loader.on_wait`."""
        self.first.on_wait(callback)
        self.second.on_wait(callback)

    def close(self) -> None:
        """See `Loader.close`."""
        self.first.close()
        self.second.close()
