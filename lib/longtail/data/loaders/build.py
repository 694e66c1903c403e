"""Builders of the loaders of a run, from the config."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data.augment import build_policy, evaluation_transforms, fast_policy
from longtail.data.augment.steps import Policy
from longtail.data.batch_size import smaller_batch
from longtail.data.dataset import ImageSet
from longtail.data.images.bad_images import BadImages
from longtail.data.images.files import ImageFiles
from longtail.data.loaders.base import SINGLE, Loader, LoaderSettings, Shard
from longtail.data.loaders.files import FileLoader
from longtail.data.loaders.memory import MemoryLoader
from longtail.data.loaders.paired import PairedLoader
from longtail.data.loaders.sizes import check_view_sizes, resize_hint
from longtail.data.loaders.weighted import WeightedLoader, normalized_weights
from longtail.data.normalization import Normalize, channel_statistics
from longtail.data.samplers import InstanceBalanced, build_sampler
from longtail.data.seeding import ORDERED_AUGMENTATION, PARTNER_AUGMENTATION
from longtail.data.sources import Splits, build_splits
from longtail.errors import UserError

CPU = torch.device("cpu")


class Loaders(NamedTuple):
    """The loaders of a training run.

    Attributes:
        train: Loader of the training images.
        valid: Loader of the validation images.
        normalize: Normalization of the images, on the device.
        bad_images: The image files that were skipped; None if a bad image ends the run.
        ordered: Loaders of all training images in their order, by view; see `train_in_order`.
    """

    train: Loader
    valid: Loader
    normalize: Normalize
    bad_images: BadImages | None = None
    ordered: Mapping[str, Loader] = MappingProxyType({})

    def train_in_order(self, view: str = "clean") -> Loader:
        """Return a loader of all training images in the order of the data set, for features or activation maps.

        It shares the decoded images with `train`. Every image is loaded once per epoch over all processes, including
        generated images. Batches have one view and TEST.BATCH_SIZE images; the last one may be smaller.

        Args:
            view: "clean": the evaluation view; "train": the first training view, with random numbers that depend on
                the epoch and differ from those of `train`.

        Raises:
            ValueError: The view is unknown.
        """
        if view not in self.ordered:
            raise ValueError(f"view is {view!r}; allowed: {', '.join(map(repr, self.ordered))}")
        return self.ordered[view]

    def on_wait(self, callback: Callable[[], None]) -> None:
        """Set the function that is called while any loader waits for a batch, see `Loader.on_wait`."""
        for loader in (self.train, self.valid, *self.ordered.values()):
            loader.on_wait(callback)

    def close(self) -> None:
        """End the worker processes of all loaders."""
        for loader in (self.train, self.valid, *self.ordered.values()):
            loader.close()


def build_loaders(
    cfg: CfgNode, splits: Splits | None = None, *, shard: Shard = SINGLE, device: torch.device = CPU
) -> Loaders:
    """Decode small images into memory and build the loaders of the training and validation images.

    Args:
        cfg: Config.
        splits: Splits from `build_splits`; None: build them here.
        shard: Shard of this process.
        device: Device of the network.

    Raises:
        UserError: An image is missing or damaged, a policy is unknown, some views resize the images and others do
            not, or there are fewer images than one step needs.
    """
    splits = splits or build_splits(cfg)
    policies = [build_policy(name, cfg) for name in cfg.DATASET.VIEWS]
    needed = cfg.TRAIN.BATCH_SIZE * shard.world
    if splits.train.num_original < needed:
        fitting = " ".join(map(str, smaller_batch(cfg, splits.train.num_original, processes=shard.world)))
        raise UserError(
            f"{splits.train.name} has {splits.train.num_original} images, fewer than one step needs "
            f"(TRAIN.BATCH_SIZE {cfg.TRAIN.BATCH_SIZE} x {shard.world} processes)"
            + (f"; these keys fit: {fitting}" if fitting else "")
        )
    source = _open(cfg, splits.train, device=device)
    check_view_sizes(cfg, policies, build_evaluation_policy(cfg), images=source.pixels)
    train = _train_loader(cfg, splits.train, source=source, policies=policies, shard=shard)
    if splits.train.weights is not None:
        train = WeightedLoader(train, normalized_weights(splits.train.weights, splits.train.name))
    valid = build_valid_loader(cfg, splits.valid, shard=shard, device=device)
    ordered = _ordered_loaders(cfg, splits.train, source=source, train_policy=policies[0], shard=shard)
    return Loaders(train, valid, build_normalize(cfg), splits.train.bad_images, ordered)


def build_valid_loader(
    cfg: CfgNode,
    images: ImageSet,
    *,
    shard: Shard = SINGLE,
    device: torch.device = CPU,
    policy: Policy | None = None,
) -> Loader:
    """Build the loader of evaluation images: every sample once, in order, for any number of processes.

    Args:
        cfg: Config.
        images: Split.
        shard: Shard of this process.
        device: Device of the network.
        policy: Policy that makes the view of an image; None: that of the evaluation view.
    """
    settings = LoaderSettings(
        sampler=InstanceBalanced(len(images), cfg.RAND_SEED, shuffle=False),
        labels=images.labels,
        batch_size=cfg.TEST.BATCH_SIZE,
        seed=cfg.RAND_SEED,
        shard=shard,
    )
    source = _open(cfg, images, device=device)
    return source.loader([policy or build_evaluation_policy(cfg)], settings, workers=cfg.TEST.NUM_WORKERS)


def build_normalize(cfg: CfgNode) -> Normalize:
    """Build the normalization that turns uint8 images into the input of the network."""
    mean, std = channel_statistics(cfg)
    return Normalize(mean, std, channels_last=cfg.TRAIN.CHANNELS_LAST, bgr=cfg.COLOR_SPACE == "BGR")


class _Source(NamedTuple):
    """The images of a split, decoded or opened once; any number of loaders may share them."""

    pixels: Tensor | ImageFiles
    bad_images: BadImages | None
    pin_memory: bool
    timeout: float
    hint: str

    def loader(self, policies: Sequence[Policy], settings: LoaderSettings, *, workers: int) -> Loader:
        """Build a loader of these images."""
        if isinstance(self.pixels, Tensor):
            return MemoryLoader(self.pixels, policies, settings=settings)
        fast = self.pixels.fast is not None
        return FileLoader(
            self.pixels,
            [fast_policy(policy) for policy in policies] if fast else policies,
            settings=settings,
            workers=workers,
            pin_memory=self.pin_memory,
            bad_images=self.bad_images,
            timeout=self.timeout,
            hint=self.hint,
        )


def _open(cfg: CfgNode, images: ImageSet, *, device: torch.device) -> _Source:
    """Decode images into memory, that of the device with DATASET.ON_DEVICE, if they are small; otherwise open files."""
    pixels = images.load()
    if isinstance(pixels, Tensor) and cfg.DATASET.ON_DEVICE:
        pixels = pixels.to(device)
    pin_memory = cfg.PIN_MEMORY and device.type == "cuda"
    return _Source(pixels, images.bad_images, pin_memory, timeout=60 * cfg.TRAIN.LOADER_TIMEOUT, hint=resize_hint(cfg))


def build_evaluation_policy(cfg: CfgNode) -> Policy:
    """Return the deterministic policy of the evaluation view."""
    return evaluation_transforms(cfg) if cfg.DATASET.TEST_VIEW == "transforms" else build_policy("none", cfg)


def _train_loader(
    cfg: CfgNode, images: ImageSet, *, source: _Source, policies: Sequence[Policy], shard: Shard
) -> Loader:
    """Build the training loader; a sampler with partners gets a pair of loaders of the same images."""
    sampler = build_sampler(cfg, images)
    settings = LoaderSettings(
        sampler=sampler,
        labels=images.labels,
        batch_size=cfg.TRAIN.BATCH_SIZE,
        seed=cfg.RAND_SEED,
        shard=shard,
        drop_last=True,
    )
    workers = cfg.TRAIN.NUM_WORKERS
    if sampler.partner is None:
        return source.loader(policies, settings, workers=workers)
    half = workers - workers // 2  # rounded up: 0 workers, decoding in the main process, only for NUM_WORKERS 0
    partner = replace(settings, sampler=sampler.partner, purpose=PARTNER_AUGMENTATION)
    return PairedLoader(source.loader(policies, settings, workers=half), source.loader(policies, partner, workers=half))


def _ordered_loaders(
    cfg: CfgNode, images: ImageSet, *, source: _Source, train_policy: Policy, shard: Shard
) -> dict[str, Loader]:
    """Build the loaders of all training images in their order, see `Loaders.train_in_order`."""
    settings = LoaderSettings(
        sampler=InstanceBalanced(len(images), cfg.RAND_SEED, shuffle=False),
        labels=images.labels,
        batch_size=cfg.TEST.BATCH_SIZE,
        seed=cfg.RAND_SEED,
        purpose=ORDERED_AUGMENTATION,
        shard=shard,
    )
    policies = {"clean": build_evaluation_policy(cfg), "train": train_policy}
    return {view: source.loader([policy], settings, workers=cfg.TRAIN.NUM_WORKERS) for view, policy in policies.items()}
