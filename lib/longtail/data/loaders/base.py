"""The interface of all loaders: batches are a function of (epoch, step).

An epoch can be entered at any step and yields the same batches as if it had been run from its beginning.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from longtail.data.batch import Batch
from longtail.data.samplers import Sampler
from longtail.data.seeding import AUGMENTATION


class Shard(NamedTuple):
    """The part of the data that this process handles: number `rank` of `world`."""

    rank: int = 0
    world: int = 1


SINGLE = Shard()


@dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """What all loaders need besides the images.

    Attributes:
        sampler: Draws the indices of an epoch, (N,), in their order.
        labels: Labels of all images, (N,).
        batch_size: Number of samples per batch and process.
        seed: Seed of the run, for the augmentation.
        purpose: Purpose of the random numbers, see `seeding`.
        shard: Shard of this process.
        drop_last: Drop the samples that do not fill a batch on every process. Otherwise no sample is dropped or
            repeated, and processes may have different numbers of samples.
    """

    sampler: Sampler
    labels: Tensor
    batch_size: int
    seed: int
    purpose: int = AUGMENTATION
    shard: Shard = SINGLE
    drop_last: bool = False


class Loader:
    """Yields the batches of an epoch; a subclass turns indices into images.

    Args:
        settings: Sampler, labels, batch size, seed and shard.
    """

    def __init__(self, settings: LoaderSettings) -> None:
        self.settings = settings
        self.sampler = settings.sampler
        self.labels = settings.labels
        self.batch_size = settings.batch_size
        self.shard = settings.shard

    def __len__(self) -> int:
        """Return the number of batches per epoch of this process."""
        if self.settings.drop_last:
            return self.sampler.length // (self.batch_size * self.shard.world)
        samples = len(range(self.shard.rank, self.sampler.length, self.shard.world))
        return -(-samples // self.batch_size)

    def batch_indices(self, epoch: int) -> list[Tensor]:
        """Return the indices of each batch of this process."""
        return self.shard_batches(self.sampler.indices(epoch))

    def shard_batches(self, values: Tensor) -> list[Tensor]:
        """Return this process's shard of an epoch's values, (N,) in the order of the sampler, as batches."""
        if self.settings.drop_last:
            used = len(self) * self.shard.world * self.batch_size
            steps = values[:used].view(-1, self.shard.world, self.batch_size)
            return list(steps[:, self.shard.rank])
        own = values[self.shard.rank :: self.shard.world]
        return list(own.split(self.batch_size)) if len(own) else []  # split of an empty tensor returns one batch

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch.

        Args:
            epoch: Epoch, from 1.
            start: First batch, from 0.
        """
        raise NotImplementedError

    def peek(self, number: int) -> Batch:
        """Return a batch of the first images of epoch 1, at most `number`, without starting workers."""
        raise NotImplementedError

    def check_memory(self, batch: Batch) -> None:
        """Refuse batches that do not fit into shared memory, and workers for which there are too few file handles.

        Args:
            batch: Some samples, as from `peek`.

        Raises:
            UserError: Shared memory is too small, or the limit of open files.
        """

    def on_wait(self, callback: Callable[[], None]) -> None:
        """Set a function that is called while a batch is awaited; it may raise to stop waiting."""

    def close(self) -> None:
        """End the worker processes, if there are any."""
