"""Batches of images that are held in memory, augmented in large chunks."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from longtail.data.augment.steps import Policy
from longtail.data.batch import Batch
from longtail.data.loaders.base import Loader
from longtail.data.seeding import AUGMENTATION, generator

CHUNK = 1024  # images that are augmented in one call, at least one batch


class MemoryLoader(Loader):
    """Batches of images that are held in memory; many batches are augmented in one call, where the images lie.

    Random numbers are drawn on the CPU wherever that is: the device does not decide what happens to an image.

    Args:
        images: (N, 3, H, W) uint8, on any device.
        policies: one per view.
        seed: of the run; each chunk of each epoch has random numbers of its own.
        purpose: what its random numbers are for, see `seeding`.
    """

    def __init__(
        self, images: Tensor, policies: Sequence[Policy], seed: int, purpose: int = AUGMENTATION, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.images = images
        self.policies = policies
        self.seed = seed
        self.purpose = purpose

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, see `Loader.epoch`."""
        batches = self.positions(epoch)
        per_chunk = max(CHUNK // self.batch_size, 1)
        for first in range(start - start % per_chunk, len(batches), per_chunk):
            chunk = batches[first : first + per_chunk]
            for number, batch in enumerate(self._augment(chunk, epoch, first), first):
                if number >= start:
                    yield batch

    def _augment(self, chunk: list[Tensor], epoch: int, first: int) -> Iterator[Batch]:
        positions = torch.cat(chunk)
        random = generator(self.seed, self.purpose, epoch, self.shard.rank, first)
        labels = self.labels[positions].to(self.images.device)
        positions = positions.to(self.images.device)
        images = self.images[positions]
        views = torch.stack([policy(images, random) for policy in self.policies])
        sizes = [len(batch) for batch in chunk]
        for parts in zip(views.split(sizes, dim=1), labels.split(sizes), positions.split(sizes), strict=True):
            yield Batch(*parts)
