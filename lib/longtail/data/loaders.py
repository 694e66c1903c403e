"""Batches, epoch by epoch: from memory in large augmented chunks, or from files through worker processes.

A loader is a function of (epoch, step): any epoch can be entered at any step and gives the same batches as if it had
been run from its beginning.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from yacs.config import CfgNode

from longtail.config import dataset_parts
from longtail.data.augment import build_policy, evaluation_transforms
from longtail.data.bad_images import BadImages, Fault
from longtail.data.batch import Batch
from longtail.data.image_set import ImageFiles, ImageSet
from longtail.data.normalization import NORMALIZATIONS, Normalize
from longtail.data.samplers import InstanceBalanced, Sampler, build_sampler
from longtail.data.seeding import AUGMENTATION, PARTNER_AUGMENTATION, generator
from longtail.data.sources import Splits, build_splits
from longtail.errors import UserError

Policy = Callable[[Tensor, torch.Generator], Tensor]
CHUNK = 1024  # images that are augmented in one call, at least one batch


class Shard(NamedTuple):
    """The part of the data that this process handles: number `rank` of `world`."""

    rank: int = 0
    world: int = 1


SINGLE = Shard()
CPU = torch.device("cpu")


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


class Loaders(NamedTuple):
    """Everything about the data that training needs; `bad_images` is None where a bad image ends the run."""

    train: Loader
    valid: Loader
    normalize: Normalize
    bad_images: BadImages | None = None


def build_loaders(
    cfg: CfgNode, splits: Splits | None = None, shard: Shard = SINGLE, device: torch.device = CPU
) -> Loaders:
    """Decode what is to be held in memory and build the loaders of both splits.

    Args:
        cfg: the configuration tree.
        splits: from `build_splits`; None builds them here.
        shard: the part that this process handles.
        device: where images that are held in memory lie and are augmented.

    Raises:
        UserError: an image is missing or damaged, a policy is unknown, or there are fewer images than one batch.
    """
    splits = splits or build_splits(cfg)
    parts = dataset_parts(cfg)
    policies = [build_policy(name, cfg) for name in parts.views]
    needed = cfg.TRAIN.BATCH_SIZE * shard.world
    if splits.train.originals < needed:
        raise UserError(
            f"{splits.train.name} has {splits.train.originals} images, fewer than one step takes "
            f"(TRAIN.BATCH_SIZE {cfg.TRAIN.BATCH_SIZE} x {shard.world} processes)"
        )
    train = _train_loader(cfg, splits.train, policies, shard, device)
    valid = build_valid_loader(cfg, splits.valid, shard, device)
    return Loaders(train, valid, build_normalize(cfg), splits.train.bad_images)


def build_valid_loader(cfg: CfgNode, images: ImageSet, shard: Shard = SINGLE, device: torch.device = CPU) -> Loader:
    """Build the loader of the images to judge on: every sample once, in order, for any number of processes."""
    policy = evaluation_transforms(cfg) if dataset_parts(cfg).test_view == "transforms" else build_policy("none", cfg)
    sampler = InstanceBalanced(len(images), cfg.RAND_SEED, shuffle=False)
    settings = {
        "sampler": sampler,
        "labels": images.labels,
        "batch_size": cfg.TEST.BATCH_SIZE,
        "shard": shard,
        "drop_last": False,
        "bad_images": images.bad_images,
    }
    return _loader(cfg, _placed(images, device), [policy], cfg.TEST.NUM_WORKERS, AUGMENTATION, **settings)


def build_normalize(cfg: CfgNode) -> Normalize:
    """Build what turns uint8 images into the network's input."""
    mean, deviation = NORMALIZATIONS.get(dataset_parts(cfg).normalization)
    return Normalize(mean, deviation, cfg.TRAIN.CHANNELS_LAST, cfg.COLOR_SPACE == "BGR")


def _placed(images: ImageSet, device: torch.device) -> Tensor | ImageFiles:
    """Return the images, on the device where they are held in memory."""
    pixels = images.load()
    return pixels.to(device) if isinstance(pixels, Tensor) else pixels


def _train_loader(
    cfg: CfgNode, images: ImageSet, policies: Sequence[Policy], shard: Shard, device: torch.device
) -> Loader:
    """Build the loader of the sampler; one that draws partners too gets two loaders of the same pixels."""
    sampler = build_sampler(cfg, images)
    pixels = _placed(images, device)
    settings = {
        "labels": images.labels,
        "batch_size": cfg.TRAIN.BATCH_SIZE,
        "shard": shard,
        "drop_last": True,
        "bad_images": images.bad_images,
    }
    workers = cfg.TRAIN.NUM_WORKERS
    if sampler.partner is None:
        return _loader(cfg, pixels, policies, workers, AUGMENTATION, sampler=sampler, **settings)
    half = workers - workers // 2  # none of them decodes in the main process unless NUM_WORKERS is 0
    return PairedLoader(
        _loader(cfg, pixels, policies, half, AUGMENTATION, sampler=sampler, **settings),
        _loader(cfg, pixels, policies, half, PARTNER_AUGMENTATION, sampler=sampler.partner, **settings),
    )


def _loader(
    cfg: CfgNode,
    pixels: Tensor | ImageFiles,
    policies: Sequence[Policy],
    workers: int,
    purpose: int,
    bad_images: BadImages | None,
    **settings: Any,
) -> Loader:
    if isinstance(pixels, Tensor):
        return MemoryLoader(pixels, policies, cfg.RAND_SEED, purpose, **settings)
    pin = cfg.PIN_MEMORY and torch.cuda.is_available()
    return FileLoader(pixels, policies, cfg.RAND_SEED, workers, pin, purpose, bad_images, **settings)
