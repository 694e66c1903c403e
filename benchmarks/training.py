"""The training that the benchmarks measure: NCL on images in memory, by our training loop, without files."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import load_config
from longtail.data import Splits
from longtail.data.dataset import ImageSet
from longtail.distributed import SINGLE_PROCESS, Place
from longtail.engine.trainer import Trainer
from longtail.stages.build import build_training

CLASSES = 10
NCL = [
    *("BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"] * 3, "DATASET.VIEWS", ["autoaugment"]),
    *("DATASET.NORMALIZATION", "cifar", "TRAIN.COMBINER.TYPE", "supervised", "LOSS.LOSS_TYPE", "NIL_NBOD"),
    *("LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0, "LOSS.HCM_N", 5),
    *("LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM", 0.6),
    *("TRAIN.OPTIMIZER.BASE_LR", 0.01, "TRAIN.OPTIMIZER.WEIGHT_DECAY", 2e-4, "TRAIN.TENSORBOARD.ENABLE", False),
    *("SHOW_STEP", 10**9, "VALID_STEP", -1, "SAVE_STEP", -1),
]


class NoFiles:
    """Replacement of a run that writes nothing."""

    def log(self, *records: dict[str, Any]) -> None:
        """Do nothing."""

    def save(self, name: str, content: dict[str, Any]) -> None:
        """Do nothing."""

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Do nothing."""


def config(*overrides: object) -> CfgNode:
    """Return the config of the measured training."""
    return load_config(None, [*NCL, *overrides])


def place_on(device: torch.device) -> Place:
    """Return one process on one device."""
    return Place(SINGLE_PROCESS, (device,), device)


def image_set(images: Tensor, labels: Tensor) -> ImageSet:
    """Return images in memory, uint8 (N, 3, H, W), with class ids (N,)."""
    return ImageSet.from_tensor("measured", images, labels=labels.tolist(), num_classes=CLASSES)


def build_trainer(
    cfg: CfgNode, images: Tensor, labels: Tensor, *, device: torch.device, valid: ImageSet | None = None
) -> Trainer:
    """Return the trainer of a config.

    Args:
        cfg: Config.
        images: Training images, uint8 (N, 3, H, W).
        labels: Class ids, (N,).
        device: Where to train.
        valid: Validation images; None: the training images.
    """
    train = image_set(images, labels)
    place = place_on(device).with_precision(cfg.TRAIN.AMP)
    return Trainer(build_training(cfg, Splits(train, valid or train), place=place, source="benchmark"), NoFiles())  # type: ignore[arg-type]


def our_epoch(trainer: Trainer) -> Callable[[], None]:
    """Return a function that trains one more epoch."""
    return trainer.train_epoch
