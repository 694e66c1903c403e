"""Batches of image files, decoded and augmented by worker processes."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from longtail.data.augment.steps import Policy
from longtail.data.batch import Batch
from longtail.data.images.bad_images import BadImage, BadImages
from longtail.data.images.files import ImageFiles
from longtail.data.loaders.base import Loader, LoaderSettings
from longtail.data.loaders.workers import WorkerPool, check_file_handles, check_shared_memory
from longtail.data.seeding import generator
from longtail.errors import UserError
from longtail.processors import available_processors

logger = logging.getLogger(__name__)


class FileLoader(Loader):
    """Loads batches of image files that worker processes decode and augment one by one.

    Each sample of each epoch has its own random numbers, independent of the worker that serves it. A sample that is
    drawn again in an epoch gets new ones.

    Args:
        files: Image files.
        policies: Augmentation policy of each view.
        settings: See `LoaderSettings`.
        workers: Number of worker processes, limited to the processors of this process; 0: decode in this process.
        pin_memory: Yield batches in page-locked memory.
        bad_images: Collects the files that the workers skipped; None if bad images are not skipped.
        timeout: Seconds to wait for a batch before the run stops with an error.
        hint: What helps if the images of a batch differ in size, for the message.
    """

    def __init__(
        self,
        files: ImageFiles,
        policies: Sequence[Policy],
        *,
        settings: LoaderSettings,
        workers: int,
        pin_memory: bool = False,
        bad_images: BadImages | None = None,
        timeout: float = 300.0,
        hint: str = "resize them",
    ) -> None:
        super().__init__(settings)
        self.samples = _Samples(files, policies, settings=settings)
        self.bad_images = bad_images
        self.collate = partial(_collate, hint=hint)
        self.refused: set[str] = set()
        self.pool: WorkerPool[_Loaded | UserError] = WorkerPool(
            self.samples,
            self.collate,
            workers=min(workers, available_processors()),
            pin_memory=pin_memory,
            timeout=timeout,
        )

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, see `Loader.epoch`.

        Raises:
            UserError: An image is missing or damaged, too many are, the images of a batch differ in size, or the
                workers do not deliver; see `WorkerPool`.
        """
        order = self.sampler.indices(epoch)
        indices, repeats = (self.shard_batches(values)[start:] for values in (order, _earlier_occurrences(order)))
        # Keys are made when they are needed: an epoch may have millions of samples.
        keys = [partial(_keys, epoch, *batch) for batch in zip(indices, repeats, strict=True)]
        for loaded in self.pool.batches(keys):
            yield self._checked(loaded)

    def peek(self, number: int) -> Batch:
        """See `Loader.peek`; decodes in this process."""
        indices = self.sampler.indices(1)[:number]
        return self._checked(self.collate([self.samples[key] for key in _keys(1, indices, torch.zeros_like(indices))]))

    def check_memory(self, batch: Batch) -> None:
        """See `Loader.check_memory`."""
        check_file_handles(self.pool.workers, pools=2)  # for training and validation images
        per_sample = batch.images[:, :1].numel() * batch.images.element_size()
        check_shared_memory(per_sample * self.batch_size, workers=self.pool.workers)

    def on_wait(self, callback: Callable[[], None]) -> None:
        """See `Loader.on_wait`."""
        self.pool.on_wait = callback

    def close(self) -> None:
        """See `Loader.close`."""
        self.pool.close()

    def _checked(self, loaded: "_Loaded | UserError") -> Batch:
        if isinstance(loaded, UserError):
            raise loaded
        if self.bad_images is not None:
            self.bad_images.add(loaded.skipped)
        self._count_refused(loaded.refused)
        return loaded.batch

    def _count_refused(self, files: list[str]) -> None:
        """Log files that the fast decoder refused: the first one, then one whenever their number has doubled."""
        for path in files:
            if path in self.refused:
                continue
            self.refused.add(path)
            number = len(self.refused)
            if number & (number - 1) == 0:
                logger.info("%d image files were refused by the fast decoder and read by Pillow: %s", number, path)


def _keys(epoch: int, indices: Tensor, repeats: Tensor) -> list[tuple[int, int, int]]:
    """Return the keys of `_Samples` of a batch: epoch, index, and how often the index occurred earlier in the epoch."""
    return [(epoch, *key) for key in zip(indices.tolist(), repeats.tolist(), strict=True)]


def _earlier_occurrences(order: Tensor) -> Tensor:
    """Return how often each entry of an order occurred earlier in it, (N,)."""
    values, positions = order.sort(stable=True)
    number = torch.arange(len(order))
    first = torch.cat([values.new_ones(1, dtype=torch.bool), values[1:] != values[:-1]])
    times = torch.empty_like(number)
    times[positions] = number - torch.where(first, number, 0).cummax(0).values
    return times


@dataclass(frozen=True)
class _Sample:
    """One image from a worker: its views (V, 3, S, S), and the files that were skipped or refused for it."""

    views: Tensor
    label: Tensor
    index: int
    skipped: list[BadImage]
    refused: list[str]


class _Loaded(NamedTuple):
    """One batch from a worker."""

    batch: Batch
    skipped: list[BadImage]
    refused: list[str]


class _Samples(Dataset["_Sample | UserError"]):
    """Maps (epoch, index, earlier occurrences in the epoch) to the views of one image, in a worker process."""

    def __init__(self, files: ImageFiles, policies: Sequence[Policy], *, settings: LoaderSettings) -> None:
        self.files = files
        self.policies = policies
        self.labels = settings.labels
        self.seed = settings.seed
        self.purpose = settings.purpose

    def __getitem__(self, key: tuple[int, int, int]) -> _Sample | UserError:
        epoch, index, repeats = key
        suffix = (repeats,) if repeats else ()  # as if there were no repeats, for samplers that draw an image once
        random = generator(self.seed, self.purpose, epoch, index, *suffix)
        try:
            image, skipped = self.files.read(index)
        except UserError as error:  # raised in a worker, it would be reported with a traceback
            return error
        views = [policy(image[None], random) for policy in self.policies]
        together = torch.cat(views) if len(views) > 1 else views[0]
        return _Sample(together, self.labels[index], index, skipped, self.files.take_refused())


def _collate(samples: list[_Sample | UserError], *, hint: str) -> _Loaded | UserError:
    """Stack samples to a batch; return the first error, if any."""
    loaded = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        loaded.append(sample)
    sizes = {tuple(sample.views.shape[2:]) for sample in loaded}
    if len(sizes) > 1:
        shown = " and ".join(f"{height}x{width}" for height, width in sorted(sizes)[:2])
        return UserError(f"images of one batch differ in size ({shown}); {hint}")
    batch = Batch(
        torch.stack([sample.views for sample in loaded], dim=1),
        torch.stack([sample.label for sample in loaded]),
        torch.tensor([sample.index for sample in loaded]),
    )
    return _Loaded(
        batch,
        [image for sample in loaded for image in sample.skipped],
        [path for sample in loaded for path in sample.refused],
    )
