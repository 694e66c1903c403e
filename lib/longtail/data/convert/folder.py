"""Converter for a folder of images with one folder per class."""

import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from longtail.data.convert.split import Split, check_writable, write_split
from longtail.data.convert.summary import log_summary
from longtail.data.long_tail import class_counts, select_indices
from longtail.errors import UserError, errors_in

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"))


def convert_folder(
    input_path: str | Path,
    output_path: str | Path,
    *,
    valid: str | Path | int | None = None,
    imbalance_factor: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> None:
    """Write train.json and, with validation images, valid.json for a folder of class folders.

    Args:
        input_path: Folder with one folder per class; images may be in subfolders.
        output_path: Folder of the annotation files.
        valid: A second such folder with validation images; or the number of images per class to hold out, chosen by
            `seed`; None: no valid.json.
        imbalance_factor: Largest / smallest class of the training images, made long-tailed by the exponential rule;
            None: keep all images.
        seed: Seed of the choice of images that are kept and held out.
        force: Replace existing files.

    Raises:
        UserError: There are no class folders, a class has too few images, the two folders have different classes, or a
            file would be overwritten.
    """
    outputs = [Path(output_path) / name for name in ("train.json", "valid.json")]
    for output in outputs[: 1 if valid is None else 2]:
        check_writable(output, force=force)
    train = read_class_folders(input_path)
    splits = [train]
    if isinstance(valid, int):
        splits = list(hold_out(train, valid, seed=seed))
    elif valid is not None:
        splits.append(read_class_folders(valid, train.classes))
    if imbalance_factor is not None:
        splits[0] = make_long_tailed(splits[0], imbalance_factor, seed=seed)
    for output, split in zip(outputs, splits, strict=False):
        write_split(output, split)
        log_summary(output, split)


def read_class_folders(root: str | Path, classes: Sequence[str] | None = None) -> Split:
    """List the images below each class folder; classes are numbered in alphabetical order.

    Args:
        root: Folder with one folder per class.
        classes: Required names of the class folders; None: any.

    Raises:
        UserError: The folder does not exist or has no class folders, their names differ from `classes`, or some have no
            images.
    """
    root = Path(root)
    folders = _class_folders(root)
    if classes is not None and folders != list(classes):
        different = sorted(set(folders) ^ set(classes))
        raise UserError(
            f"{root} has other classes than the training images: {', '.join(different[:10])} in one of them only"
        )
    paths: list[str] = []
    labels: list[int] = []
    empty = []
    for label, name in enumerate(folders):
        images = _image_files(root / name)
        if not images:
            empty.append(f"{root / name} holds no images ({', '.join(sorted(SUFFIXES))})")
        paths += images
        labels += [label] * len(images)
    if empty:
        raise errors_in(f"folder {root}", empty, kind="classes without images")
    return Split(paths, labels, num_classes=len(folders), classes=folders)


def _class_folders(root: Path) -> list[str]:
    """Return the names of the class folders in alphabetical order."""
    if not root.is_dir():
        raise UserError(f"folder {root} does not exist")
    try:
        folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"folder {root} cannot be read: {error.strerror or error}") from None
    if not folders:
        raise UserError(f"{root} holds no folders; each class needs one, with its images in it")
    return folders


def _image_files(folder: Path) -> list[str]:
    """Return the image files below a folder in alphabetical order."""
    return sorted(
        os.path.join(parent, file)
        for parent, _, files in os.walk(folder, followlinks=True)
        for file in files
        if os.path.splitext(file)[1].lower() in SUFFIXES and not file.startswith(".")
    )


def hold_out(split: Split, per_class: int, *, seed: int) -> tuple[Split, Split]:
    """Hold out images of each class, chosen by a seed.

    Args:
        split: The split.
        per_class: Number of images per class to hold out.
        seed: Seed of the choice.

    Returns:
        The remaining images and the held-out images.

    Raises:
        UserError: The number is below 1, or a class would keep no image.
    """
    if per_class < 1:
        raise UserError(f"{per_class} images of each class are to be held out; it must be 1 or more")
    too_small = [
        f"class {_class_name(split, label)} has {count}"
        for label, count in enumerate(split.class_counts())
        if count <= per_class
    ]
    if too_small:
        raise errors_in(f"{per_class} images of each class are to be held out", too_small, kind="classes have no more")
    chosen = select_indices(split.labels, [per_class] * split.num_classes, seed)
    rest = np.setdiff1d(np.arange(len(split.labels)), chosen).tolist()
    return subset(split, rest), subset(split, chosen)


def make_long_tailed(split: Split, imbalance_factor: float, *, seed: int) -> Split:
    """Make a split long-tailed: n_i = int(n * f^(-i / (C - 1))), with the largest n for which all classes suffice.

    Args:
        split: The split.
        imbalance_factor: Imbalance factor f: largest / smallest class.
        seed: Seed of the choice of images that are kept.

    Raises:
        UserError: The factor is below 1, or a class would keep no image.
    """
    if not imbalance_factor >= 1:
        raise UserError(f"the imbalance factor is {imbalance_factor:g}; it must be 1 or more")
    available = split.class_counts()

    def counts(largest: int) -> list[int]:
        return class_counts(largest, split.num_classes, 1 / imbalance_factor)

    def too_many(largest: int) -> bool:
        return any(wanted > count for wanted, count in zip(counts(largest), available, strict=True))

    largest = bisect_right(range(1, max(available) + 1), False, key=too_many)
    kept = counts(largest) if largest else [0]
    if min(kept) == 0:
        raise UserError(
            f"the imbalance factor {imbalance_factor:g} would leave class {_class_name(split, kept.index(0))} without "
            f"images; the largest class can have {largest}, so at most {largest} is possible"
        )
    return subset(split, select_indices(split.labels, kept, seed))


def subset(split: Split, indices: Sequence[int]) -> Split:
    """Return the images of a split with the given indices."""
    return Split(
        [split.paths[index] for index in indices],
        [split.labels[index] for index in indices],
        num_classes=split.num_classes,
        classes=split.classes,
    )


def _class_name(split: Split, label: int) -> str:
    return repr(split.classes[label]) if split.classes else str(label)
