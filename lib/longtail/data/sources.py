"""Where images and labels come from: annotation files, CIFAR's archives, the digits of scikit-learn."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.config import dataset_parts
from longtail.data.annotations import read_annotations
from longtail.data.cam.annotations import append_generated
from longtail.data.dataset import ImageSet
from longtail.data.images.files import build_reading
from longtail.data.long_tail import class_counts, select_indices
from longtail.errors import UserError
from longtail.registry import Registry


class Splits(NamedTuple):
    """What is trained on and what is judged on."""

    train: ImageSet
    valid: ImageSet


SOURCES: Registry[Callable[[CfgNode], Splits]] = Registry("data set")


def build_splits(cfg: CfgNode, generated: bool = True) -> Splits:
    """Read labels and file names of the data set called DATASET.DATASET; images are not decoded yet.

    Args:
        cfg: the configuration tree.
        generated: append the images of CAM-based sampling to the training images where the tree asks for them.

    Raises:
        UserError: there is no such data set, its files are missing or wrong, a class has no training images, or the
            two splits do not have the same classes.
    """
    splits = SOURCES.get(dataset_parts(cfg).source)(cfg)
    train, valid = splits
    if train.num_classes != valid.num_classes:
        raise UserError(f"{train.name} has {train.num_classes} classes, {valid.name} has {valid.num_classes}")
    empty = [label for label, count in enumerate(train.class_counts()) if count == 0]
    if empty:
        shown = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
        raise UserError(
            f"{train.name}: {len(empty)} of {train.num_classes} classes have no training images: {shown}; "
            "every class needs at least one"
        )
    if generated and cfg.DATASET.USE_CAM_BASED_DATASET:
        return Splits(append_generated(train, cfg.DATASET.CAM_DATA_JSON_SAVE_PATH), valid)
    return splits


@SOURCES.register("annotations")
def annotations(cfg: CfgNode) -> Splits:
    """Images listed by DATASET.TRAIN_JSON and DATASET.VALID_JSON."""
    splits = []
    reading = build_reading(cfg)  # of both splits: bad images are counted together
    for key in ("TRAIN_JSON", "VALID_JSON"):
        path = cfg.DATASET[key]
        if not path:
            raise UserError(f"DATASET.{key} is empty; data set {cfg.DATASET.DATASET!r} needs an annotation file there")
        listed = read_annotations(path, cfg.DATASET.ROOT)
        splits.append(ImageSet.of_files(path, listed.paths, listed.labels, listed.num_classes, reading))
    return Splits(*splits)


@SOURCES.register("cifar10_lt")
def cifar10_lt(cfg: CfgNode) -> Splits:
    """CIFAR-10 made long-tailed by the published rule and seed (Cao et al., arXiv 1906.07413)."""
    return _cifar(cfg, "CIFAR10", 10)


@SOURCES.register("cifar100_lt")
def cifar100_lt(cfg: CfgNode) -> Splits:
    """CIFAR-100 made long-tailed by the published rule and seed."""
    return _cifar(cfg, "CIFAR100", 100)


@SOURCES.register("digits_lt")
def digits_lt(cfg: CfgNode) -> Splits:
    """The 1,797 handwritten digits that ship with scikit-learn, long-tailed, upscaled from 8x8 to 32x32.

    The first 100 images of each class are for training, thinned out by the long-tail rule; the other 797 judge.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = np.asarray(digits.target)
    grey = torch.from_numpy(digits.images)[:, None] * (255 / 16)
    large = F.interpolate(grey, size=(32, 32), mode="bilinear", align_corners=False)
    images = large.round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    pool = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        pool[np.flatnonzero(labels == label)[:100]] = True
    judged = np.flatnonzero(~pool)
    valid = ImageSet.in_memory("digits_lt valid", images[judged], labels[judged].tolist(), 10)
    train = _long_tailed(cfg, "digits_lt train", images[pool], labels[pool], 10)
    return Splits(train, valid)


def _cifar(cfg: CfgNode, name: str, num_classes: int) -> Splits:
    from torchvision import datasets

    root = cfg.DATASET.ROOT or "dataset/cifar"
    download = cfg.DATASET.DOWNLOAD

    def read(train: bool) -> Any:
        try:
            return getattr(datasets, name)(root, train=train, download=download)
        except (RuntimeError, OSError) as error:  # URLError is an OSError
            how = "could not be fetched" if download else "and DATASET.DOWNLOAD is False"
            raise UserError(f"the archive of {name} is not under DATASET.ROOT {root} {how}: {error}") from None

    train, valid = read(True), read(False)
    return Splits(
        _long_tailed(cfg, f"{name} train", _to_tensor(train.data), np.asarray(train.targets), num_classes),
        ImageSet.in_memory(f"{name} valid", _to_tensor(valid.data), list(valid.targets), num_classes),
    )


def _to_tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _long_tailed(cfg: CfgNode, name: str, images: Tensor, labels: np.ndarray, num_classes: int) -> ImageSet:
    """Keep what the long-tail rule keeps."""
    rule = cfg.DATASET.IMBALANCECIFAR
    per_class = len(labels) // num_classes
    counts = class_counts(per_class, num_classes, rule.RATIO, rule.KIND)
    kept = select_indices(labels, counts, rule.RANDOM_SEED)
    return ImageSet.in_memory(name, images[kept], labels[kept].tolist(), num_classes)
