"""What every loader is: a function of (epoch, step).

Any epoch can be entered at any step and gives the same batches as if it had been run from its beginning.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from longtail.data.batch import Batch
from longtail.data.samplers import Sampler


class Shard(NamedTuple):
    """The part of the data that this process handles: number `rank` of `world`."""

    rank: int = 0
    world: int = 1


SINGLE = Shard()


class Loader:
    """Gives the batches of an epoch; a subclass turns positions into images.

    Args:
        sampler: the positions of an epoch, (N,), in their order.
        labels: class ids of the whole set.
        batch_size: samples per batch and process.
        shard: which of the batches are this process's.
        drop_last: leave out the samples that do not fill a batch on every process; otherwise no sample is left out and
            none repeated, so processes may have different numbers of samples.
    """

    def __init__(
        self,
        sampler: Sampler,
        labels: Tensor,
        batch_size: int,
        shard: Shard,
        drop_last: bool,
    ) -> None:
        self.sampler = sampler
        self.labels = labels
        self.batch_size = batch_size
        self.shard = shard
        self.drop_last = drop_last

    def __len__(self) -> int:
        """Return the batches per epoch of this process."""
        if self.drop_last:
            return self.sampler.length // (self.batch_size * self.shard.world)
        own = len(range(self.shard.rank, self.sampler.length, self.shard.world))
        return -(-own // self.batch_size)

    def positions(self, epoch: int) -> list[Tensor]:
        """Return the positions of each batch of this process."""
        return self.share(self.sampler.indices(epoch))

    def share(self, order: Tensor) -> list[Tensor]:
        """Return what is this process's of something that an epoch has in its order, (N,), batch by batch."""
        if self.drop_last:
            steps = order[: len(self) * self.shard.world * self.batch_size].view(-1, self.shard.world, self.batch_size)
            return list(steps[:, self.shard.rank])
        own = order[self.shard.rank :: self.shard.world]
        return list(own.split(self.batch_size)) if len(own) else []  # split would make an empty batch of nothing

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of epoch `epoch` (from 1), beginning with number `start` (from 0)."""
        raise NotImplementedError
