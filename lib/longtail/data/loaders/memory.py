"""Batches of images in memory, augmented in large chunks."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from longtail.data.augment.batch import moved
from longtail.data.augment.steps import Policy
from longtail.data.batch import Batch
from longtail.data.loaders.base import Loader, LoaderSettings
from longtail.data.seeding import generator

CHUNK = 1024  # images augmented in one call, at least one batch


class MemoryLoader(Loader):
    """Loads batches of images in memory, augmenting several batches in one call on the device of the images.

    Each chunk of each epoch has its own random numbers. They are drawn on the CPU, so they do not depend on the device.

    Args:
        images: All images, (N, 3, H, W) uint8, on any device.
        policies: Augmentation policy of each view.
        settings: See `LoaderSettings`.
    """

    def __init__(self, images: Tensor, policies: Sequence[Policy], *, settings: LoaderSettings) -> None:
        super().__init__(settings)
        self.images = images
        self.policies = policies

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, see `Loader.epoch`."""
        batches = self.batch_indices(epoch)
        per_chunk = max(CHUNK // self.batch_size, 1)
        for first in range(start - start % per_chunk, len(batches), per_chunk):
            chunk = batches[first : first + per_chunk]
            for step, batch in enumerate(self._augment(chunk, epoch, first=first), first):
                if step >= start:
                    yield batch

    def peek(self, number: int) -> Batch:
        """See `Loader.peek`."""
        return next(self._augment([self.sampler.indices(1)[:number]], 1, first=0))

    def _augment(self, chunk: list[Tensor], epoch: int, *, first: int) -> Iterator[Batch]:
        """Yield augmented batches.

        Args:
            chunk: Indices of each batch.
            epoch: Epoch, from 1.
            first: Step of the first batch.
        """
        indices = torch.cat(chunk)
        random = generator(self.settings.seed, self.settings.purpose, epoch, self.shard.rank, first)
        labels, indices = (moved(values, self.images) for values in (self.labels[indices], indices))
        images = self.images[indices]
        views = torch.stack([policy(images, random) for policy in self.policies])
        sizes = [len(batch) for batch in chunk]
        for parts in zip(views.split(sizes, dim=1), labels.split(sizes), indices.split(sizes), strict=True):
            yield Batch(*parts)
