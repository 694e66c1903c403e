"""From the tree to the loaders of a run."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import dataset_parts
from longtail.data.augment import build_policy, evaluation_transforms
from longtail.data.augment.steps import Policy
from longtail.data.dataset import ImageSet
from longtail.data.images.bad_images import BadImages
from longtail.data.images.files import ImageFiles
from longtail.data.loaders.base import SINGLE, Loader, Shard
from longtail.data.loaders.files import FileLoader
from longtail.data.loaders.memory import MemoryLoader
from longtail.data.loaders.paired import PairedLoader
from longtail.data.normalization import NORMALIZATIONS, Normalize
from longtail.data.samplers import InstanceBalanced, build_sampler
from longtail.data.seeding import AUGMENTATION, PARTNER_AUGMENTATION
from longtail.data.sources import Splits, build_splits
from longtail.errors import UserError

CPU = torch.device("cpu")


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
