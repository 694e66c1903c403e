"""Data sets by name: annotation files, the CIFAR archives, and the digits of scikit-learn."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.data.annotations import read_annotations, root_of_files
from longtail.data.cam.annotations import append_generated
from longtail.data.cifar import CLASSES, read_archive
from longtail.data.convert.own import configured_splits
from longtail.data.dataset import ImageSet
from longtail.data.images.files import ReadOptions, build_read_options
from longtail.data.long_tail import class_counts, select_indices
from longtail.errors import UserError
from longtail.registry import Registry


class Splits(NamedTuple):
    """The splits of a data set.

    Attributes:
        train: Training images.
        valid: Validation images.
        test: Test images; None if the data set has no third split.
    """

    train: ImageSet
    valid: ImageSet
    test: ImageSet | None = None

    def class_names(self) -> list[str]:
        """Return the names of the classes, (C,), from the first split that has them; [] without names."""
        named = (split.class_names for split in self if split is not None and split.class_names)
        return list(next(named, ()))


SOURCES: Registry[Callable[[CfgNode], Splits]] = Registry("data set")


def build_splits(cfg: CfgNode, *, generated: bool = True) -> Splits:
    """Read the labels and file names of the data set named by DATASET.DATASET; images are not decoded yet.

    DATASET.VALID_JSON and TEST_JSON name other validation and test images, for every kind of training images.

    Args:
        cfg: Config.
        generated: Append the images of CAM-based sampling to the training images if the config uses them.

    Raises:
        UserError: The data set is unknown, its files are missing or invalid, a class has no training images, or the
            splits have different numbers of classes.
    """
    splits = SOURCES.get(cfg.DATASET.DATASET)(cfg)
    # One object for all image files, so that the bad images of all splits are counted together.
    read_options = splits.valid.read_options if splits.valid.paths else build_read_options(cfg)
    if not splits.train.paths:
        splits = splits._replace(train=replace(splits.train, read_options=read_options))
    if cfg.DATASET.VALID_JSON and not splits.valid.paths:
        splits = splits._replace(valid=_read_split(cfg, "VALID_JSON", read_options=read_options))
    if cfg.DATASET.TEST_JSON:
        splits = splits._replace(test=_read_split(cfg, "TEST_JSON", read_options=read_options))
    _check_classes(splits)
    if generated and cfg.DATASET.USE_CAM_BASED_DATASET:
        return splits._replace(train=append_generated(splits.train, cfg.DATASET.CAM_DATA_JSON_SAVE_PATH))
    return splits


def _check_classes(splits: Splits) -> None:
    """Check that all splits have the same number of classes, and that every class has training images."""
    train = splits.train
    for split in (splits.valid, splits.test):
        if split is not None and split.num_classes != train.num_classes:
            raise UserError(f"{train.name} has {train.num_classes} classes, {split.name} has {split.num_classes}")
        if split is not None:
            check_same_names(train.class_names, split.class_names, train.name, split.name)
    if train.num_classes < 2:
        raise UserError(f"{train.name} has one class; at least two are needed")
    empty = [label for label, count in enumerate(train.class_counts()) if count == 0]
    if empty:
        shown = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
        raise UserError(
            f"{train.name}: {len(empty)} of {train.num_classes} classes have no training images: {shown}; "
            "every class needs at least one"
        )


def check_same_names(first: Sequence[str], second: Sequence[str], *owners: str) -> None:
    """Refuse classes with other names, or in another order; classes without names match any.

    Args:
        first: Names of the classes, (C,), or empty.
        second: Names of the same classes.
        owners: Files that name them, the first and the second.

    Raises:
        UserError: They differ; the message names the first such class.
    """
    if not first or not second:
        return
    if len(first) != len(second):
        pairs = sorted(zip((first, second), owners, strict=True), key=lambda pair: len(pair[0]))
        (fewer, other), (more, owner) = pairs
        missing = next((name for name in more if name not in fewer), more[len(fewer)])
        raise UserError(
            f"{other} lacks class {missing!r} of {owner} ({len(fewer)} classes, there {len(more)}); both must name the "
            "same classes in the same order"
        )
    different = [label for label, names in enumerate(zip(first, second, strict=True)) if names[0] != names[1]]
    if different:
        label = different[0]
        order = "another order of classes" if sorted(first) == sorted(second) else "other classes"
        raise UserError(
            f"{owners[1]} has {order} than {owners[0]}: class {label} is {second[label]!r}, there {first[label]!r}; "
            "all splits must name the same classes in the same order"
        )


@SOURCES.register("annotations")
def annotations(cfg: CfgNode) -> Splits:
    """Read the images listed by DATASET.TRAIN_JSON and DATASET.VALID_JSON."""
    read_options = build_read_options(cfg)  # shared, so that the bad images of all splits are counted together
    train, valid = (_read_split(cfg, key, read_options=read_options) for key in ("TRAIN_JSON", "VALID_JSON"))
    return Splits(train, valid)


def _read_split(cfg: CfgNode, key: str, *, read_options: ReadOptions) -> ImageSet:
    """Return the images of the annotation file that a key of DATASET names."""
    path = cfg.DATASET[key]
    if not path:
        raise UserError(f"DATASET.{key} is empty; data set {cfg.DATASET.DATASET!r} needs an annotation file there")
    listed = read_annotations(path, root_of_files(cfg))
    return ImageSet.from_files(
        path,
        listed.paths,
        labels=listed.labels,
        num_classes=listed.num_classes,
        read_options=read_options,
        class_names=listed.class_names,
        pixels=listed.pixels,
        weights=listed.weights,
    )


@SOURCES.register("own")
def own(cfg: CfgNode) -> Splits:
    """Read the images in DATASET.ROOT: a folder of classes, a folder of splits, or a list; see DATASET.HOLD_OUT."""
    root, rule = cfg.DATASET.ROOT, cfg.DATASET.HOLD_OUT
    splits = configured_splits(cfg)
    read_options = build_read_options(cfg)  # shared, so that the bad images of all splits are counted together
    sets = {
        name: replace(
            ImageSet.from_files(
                f"{root} {name}",
                split.paths,
                labels=split.labels,
                num_classes=split.num_classes,
                read_options=read_options,
                class_names=split.classes or (),
                weights=split.weights,
            ),
            held_out=split.held_out,
        )
        for name, split in splits.items()
    }
    valid = _read_split(cfg, "VALID_JSON", read_options=read_options) if cfg.DATASET.VALID_JSON else sets.get("valid")
    if not valid:
        raise UserError(f"{root} has no validation images, and DATASET.HOLD_OUT.VALID is {rule.VALID:g}")
    return Splits(sets["train"], valid, sets.get("test"))


@SOURCES.register("cifar10_lt")
def cifar10_lt(cfg: CfgNode) -> Splits:
    """Read CIFAR-10, made long-tailed by the published rule and seed (Cao et al., arXiv 1906.07413)."""
    return _cifar(cfg, "cifar10")


@SOURCES.register("cifar100_lt")
def cifar100_lt(cfg: CfgNode) -> Splits:
    """Read CIFAR-100, made long-tailed by the published rule and seed."""
    return _cifar(cfg, "cifar100")


@SOURCES.register("digits_lt")
def digits_lt(cfg: CfgNode) -> Splits:
    """Read the 1,797 handwritten digits of scikit-learn, made long-tailed and upscaled from 8x8 to 32x32.

    The first 100 images of each class are training images, reduced by the long-tail rule; the other 797 are validation
    images.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = np.asarray(digits.target)
    gray = torch.from_numpy(digits.images)[:, None] * (255 / 16)
    upscaled = F.interpolate(gray, size=(32, 32), mode="bilinear", align_corners=False)
    images = upscaled.round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    is_train = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        is_train[np.flatnonzero(labels == label)[:100]] = True
    held_out = np.flatnonzero(~is_train)
    valid = ImageSet.from_tensor("digits_lt valid", images[held_out], labels=labels[held_out].tolist(), num_classes=10)
    train = _long_tailed(cfg, "digits_lt train", images=images[is_train], labels=labels[is_train], num_classes=10)
    return Splits(train, valid)


def _cifar(cfg: CfgNode, dataset: str) -> Splits:
    root = cfg.DATASET.ROOT or "dataset/cifar"
    off = "DATASET.DOWNLOAD is False; DATASET.ROOT is its folder"
    archive = partial(read_archive, dataset, root, download=cfg.DATASET.DOWNLOAD, off=off)
    train, valid = archive(train=True), archive(train=False)
    return Splits(
        _long_tailed(
            cfg,
            f"{dataset} train",
            images=_to_tensor(train.data),
            labels=np.asarray(train.targets),
            num_classes=CLASSES[dataset],
            class_names=train.classes,
        ),
        ImageSet.from_tensor(
            f"{dataset} valid",
            _to_tensor(valid.data),
            labels=list(valid.targets),
            num_classes=CLASSES[dataset],
            class_names=valid.classes,
        ),
    )


def _to_tensor(images: np.ndarray) -> Tensor:
    """Return images (N, H, W, 3) as (N, 3, H, W)."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _long_tailed(
    cfg: CfgNode,
    name: str,
    *,
    images: Tensor,
    labels: np.ndarray,
    num_classes: int,
    class_names: Sequence[str] = (),
) -> ImageSet:
    """Return the images that the long-tail rule DATASET.IMBALANCECIFAR keeps."""
    rule = cfg.DATASET.IMBALANCECIFAR
    per_class = len(labels) // num_classes
    counts = class_counts(per_class, num_classes, rule.RATIO, rule.KIND)
    kept = select_indices(labels, counts, rule.RANDOM_SEED)
    return ImageSet.from_tensor(
        name, images[kept], labels=labels[kept].tolist(), num_classes=num_classes, class_names=class_names
    )
