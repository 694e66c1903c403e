"""Batches with partners: what one sampler draws beside what another draws."""

from collections.abc import Iterator

from longtail.data.batch import Batch
from longtail.data.loaders.base import Loader


class PairedLoader(Loader):
    """The batches of one loader, each with its partner from another.

    Args:
        first: gives the batches.
        second: gives their partners; as many.
    """

    def __init__(self, first: Loader, second: Loader) -> None:
        super().__init__(first.sampler, first.labels, first.batch_size, first.shard, first.drop_last)
        self.first = first
        self.second = second

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, see `Loader.epoch`."""
        for batch, partner in zip(self.first.epoch(epoch, start), self.second.epoch(epoch, start), strict=True):
            yield batch._replace(partner=partner)
