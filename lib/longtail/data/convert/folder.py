"""A user's own images: one folder per class."""

import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from longtail.data.convert.split import Split, refuse_overwriting, write_split
from longtail.data.convert.summary import tell
from longtail.data.long_tail import class_counts, select_indices
from longtail.errors import UserError, faults_in

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"))


def convert_folder(
    input_path: str | Path,
    output_path: str | Path,
    valid: str | Path | int | None = None,
    imbalance_factor: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> None:
    """Turn a tree of class folders into train.json and, where there are images to judge on, valid.json.

    Args:
        input_path: folder with one folder per class; images may lie deeper in it.
        output_path: folder of the annotation files.
        valid: a second such tree; or how many images of each class to set aside, chosen by `seed`; None: no valid.json.
        imbalance_factor: largest / smallest class after thinning the training images out by the exponential rule;
            None: keep all.
        seed: decides which images are kept and which are set aside.
        force: whether to replace files.

    Raises:
        UserError: the tree has no classes, a class has too few images, the trees differ, or a file would be
            overwritten.
    """
    outputs = [Path(output_path) / name for name in ("train.json", "valid.json")]
    for output in outputs[: 1 if valid is None else 2]:
        refuse_overwriting(output, force)
    train = read_tree(input_path)
    splits = [train]
    if isinstance(valid, int):
        splits = list(set_aside(train, valid, seed))
    elif valid is not None:
        splits.append(read_tree(valid, train.classes))
    if imbalance_factor is not None:
        splits[0] = thin_out(splits[0], imbalance_factor, seed)
    for output, split in zip(outputs, splits, strict=False):
        write_split(output, split)
        tell(output, split)


def read_tree(root: str | Path, classes: Sequence[str] | None = None) -> Split:
    """List the images below each class folder; classes are numbered in alphabetical order.

    Args:
        root: folder with one folder per class.
        classes: names that the folders must have, those of another tree; None: any.

    Raises:
        UserError: there is no such folder, it has no class folders, they have other names, or some have no images.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"folder {root} does not exist")
    try:
        folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"folder {root} cannot be read: {error.strerror or error}") from None
    if not folders:
        raise UserError(f"{root} holds no folders; each class needs one, with its images in it")
    if classes is not None and folders != list(classes):
        other = sorted(set(folders) ^ set(classes))
        raise UserError(
            f"{root} has other classes than the training images: {', '.join(other[:10])} in one of them only"
        )
    paths: list[str] = []
    labels: list[int] = []
    empty = []
    for label, name in enumerate(folders):
        found = sorted(
            os.path.join(folder, file)
            for folder, _, files in os.walk(root / name, followlinks=True)
            for file in files
            if os.path.splitext(file)[1].lower() in SUFFIXES and not file.startswith(".")
        )
        if not found:
            empty.append(f"{root / name} holds no images ({', '.join(sorted(SUFFIXES))})")
        paths += found
        labels += [label] * len(found)
    if empty:
        raise faults_in(f"folder {root}", empty, "classes without images")
    return Split(paths, labels, len(folders), classes=folders)


def set_aside(split: Split, per_class: int, seed: int) -> tuple[Split, Split]:
    """Return what is left and what is set aside: `per_class` images of each class, chosen by `seed`.

    Raises:
        UserError: the number is below 1, or a class would keep no image.
    """
    if per_class < 1:
        raise UserError(f"{per_class} images of each class are to be set aside; it must be 1 or more")
    poor = [
        f"class {_name(split, label)} has {count}"
        for label, count in enumerate(split.class_counts())
        if count <= per_class
    ]
    if poor:
        raise faults_in(f"{per_class} images of each class are to be set aside", poor, "classes have no more")
    chosen = select_indices(split.labels, [per_class] * split.num_classes, seed)
    rest = np.setdiff1d(np.arange(len(split.labels)), chosen).tolist()
    return pick(split, rest), pick(split, chosen)


def thin_out(split: Split, imbalance_factor: float, seed: int) -> Split:
    """Make a set long-tailed: n_i = int(n * f^(-i / (C - 1))), with the largest n for which all classes have enough.

    Raises:
        UserError: the factor is below 1, or a class would keep no image.
    """
    if not imbalance_factor >= 1:
        raise UserError(f"the imbalance factor is {imbalance_factor:g}; it must be 1 or more")
    have = split.class_counts()

    def counts(largest: int) -> list[int]:
        return class_counts(largest, split.num_classes, 1 / imbalance_factor)

    def too_many(largest: int) -> bool:
        return any(wanted > there for wanted, there in zip(counts(largest), have, strict=True))

    largest = bisect_right(range(1, max(have) + 1), False, key=too_many)
    kept = counts(largest) if largest else [0]
    if min(kept) == 0:
        raise UserError(
            f"the imbalance factor {imbalance_factor:g} would leave class {_name(split, kept.index(0))} no image; "
            f"the largest class can have {largest}, so at most {largest} is possible"
        )
    return pick(split, select_indices(split.labels, kept, seed))


def pick(split: Split, positions: Sequence[int]) -> Split:
    """Return a split of some of the images."""
    return Split(
        [split.paths[position] for position in positions],
        [split.labels[position] for position in positions],
        split.num_classes,
        classes=split.classes,
    )


def _name(split: Split, label: int) -> str:
    return repr(split.classes[label]) if split.classes else str(label)
