"""Batches of image files, decoded and augmented by worker processes."""

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from longtail.data.augment.steps import Policy
from longtail.data.batch import Batch
from longtail.data.images.bad_images import BadImages, Fault
from longtail.data.images.files import ImageFiles
from longtail.data.loaders.base import Loader
from longtail.data.seeding import AUGMENTATION, generator
from longtail.errors import UserError


class FileLoader(Loader):
    """Batches of image files that worker processes decode and augment one by one.

    Args:
        files: the images.
        policies: one per view.
        seed: of the run; each sample of each epoch has random numbers of its own, whichever worker serves it, and
            others when it comes again in the epoch.
        workers: processes, no more than there are processors; 0 decodes in this one.
        pin_memory: give batches in page-locked memory.
        purpose: what its random numbers are for, see `seeding`.
        bad_images: takes in the files that the workers passed over; None where they pass over none.
    """

    def __init__(
        self,
        files: ImageFiles,
        policies: Sequence[Policy],
        seed: int,
        workers: int,
        pin_memory: bool = False,
        purpose: int = AUGMENTATION,
        bad_images: BadImages | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.samples = _Samples(files, self.labels, policies, seed, purpose)
        self.workers = min(workers, len(os.sched_getaffinity(0)))
        self.pin_memory = pin_memory
        self.bad_images = bad_images

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, see `Loader.epoch`.

        Raises:
            UserError: an image is missing or damaged, too many are, or the images of a batch differ in size.
        """
        order = self.sampler.indices(epoch)
        draws = list(zip(self.share(order)[start:], self.share(_times_before(order))[start:], strict=True))
        loader = DataLoader(
            self.samples,
            batch_sampler=_Keys(epoch, draws),
            num_workers=self.workers,
            worker_init_fn=_leave_signals_to_the_main_process,
            collate_fn=_collate,
            pin_memory=self.pin_memory,
            generator=torch.Generator(),  # keeps its hands off the global random state
        )
        for loaded in loader:
            if isinstance(loaded, UserError):
                raise loaded
            if self.bad_images is not None:
                self.bad_images.add(loaded.faults)
            yield loaded.batch


class _Keys:
    """What `_Samples` is asked for, batch by batch: made when it is due, for an epoch may have millions of samples.

    Args:
        epoch: from 1.
        draws: for each batch positions and how often each came before, both (B,).
    """

    def __init__(self, epoch: int, draws: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.epoch = epoch
        self.draws = draws

    def __len__(self) -> int:
        return len(self.draws)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for positions, before in self.draws:
            yield [(self.epoch, *draw) for draw in zip(positions.tolist(), before.tolist(), strict=True)]


def _times_before(order: Tensor) -> Tensor:
    """Return how often each entry of an order has come before in it, (N,)."""
    values, places = order.sort(stable=True)
    number = torch.arange(len(order))
    first = torch.cat([values.new_ones(1, dtype=torch.bool), values[1:] != values[:-1]])
    times = torch.empty_like(number)
    times[places] = number - torch.where(first, number, 0).cummax(0).values
    return times


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Let a worker live on when the whole process group is asked to stop: the main process saves first."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(signum, signal.SIG_IGN)


class _Sample(NamedTuple):
    """One image as a worker gives it: views (V, 3, S, S), and the files that were passed over on the way."""

    views: Tensor
    label: Tensor
    position: int
    faults: list[Fault]


class _Loaded(NamedTuple):
    """One batch as a worker gives it."""

    batch: Batch
    faults: list[Fault]


class _Samples(Dataset):
    """What a worker process does: (epoch, position, times it came before in the epoch) to the views of one image."""

    def __init__(self, files: ImageFiles, labels: Tensor, policies: Sequence[Policy], seed: int, purpose: int) -> None:
        self.files = files
        self.labels = labels
        self.policies = policies
        self.seed = seed
        self.purpose = purpose

    def __getitem__(self, key: tuple[int, int, int]) -> _Sample | UserError:
        epoch, position, before = key
        again = (before,) if before else ()  # the first time counts for nothing: most samplers show an image once
        random = generator(self.seed, self.purpose, epoch, position, *again)
        try:
            image, faults = self.files.read(position)
        except UserError as error:  # raised in a worker it would come out as a traceback
            return error
        views = torch.cat([policy(image[None], random) for policy in self.policies])
        return _Sample(views, self.labels[position], position, faults)


def _collate(samples: list[_Sample | UserError]) -> _Loaded | UserError:
    good = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        good.append(sample)
    views, labels, positions, faults = zip(*good, strict=True)
    sizes = {tuple(view.shape[2:]) for view in views}
    if len(sizes) > 1:
        shown = " and ".join(f"{height}x{width}" for height, width in sorted(sizes)[:2])
        return UserError(f"images of one batch differ in size ({shown}); DATASET.VIEWS [transforms] brings them to one")
    batch = Batch(torch.stack(views, dim=1), torch.stack(labels), torch.tensor(positions))
    return _Loaded(batch, [fault for found in faults for fault in found])
