"""One split of a data set as all converters produce it, and its annotation file."""

import csv
import functools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longtail.data.annotations import VERSION
from longtail.errors import UserError
from longtail.files import atomic_write
from longtail.user_files import check_path, is_possible_path, translating

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Images and labels of one split.

    Attributes:
        paths: Image files, (N,).
        labels: Labels of all images, (N,).
        num_classes: Number of classes C.
        sizes: Height and width of each image, (N,); None if they are not known.
        classes: Names of the classes, (C,); None if they have no names.
        source_labels: Labels of the classes in the files of the source, (C,), if they are not 0 to C - 1; else None.
        groups: Group of each image, (N,), '' for an image without one; None if there are no groups. The images of a
            group are held out together.
        weights: Weight of each image in the loss, (N,); None if they have none.
        held_out: Whether the images were chosen out of the training images by a seed.
    """

    paths: Sequence[str]
    labels: Sequence[int]
    _: KW_ONLY
    num_classes: int
    sizes: Sequence[tuple[int, int]] | None = None
    classes: Sequence[str] | None = None
    source_labels: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    weights: Sequence[float] | None = None
    held_out: bool = False

    def class_counts(self) -> list[int]:
        """Return the number of images per class, (C,)."""
        counts: list[int] = np.bincount(self.labels, minlength=self.num_classes).tolist()
        return counts


def check_apart(splits: Mapping[str, Split]) -> None:
    """Refuse an image file that occurs twice, in two splits or in one, also through a link to its folder.

    Args:
        splits: Splits by name.

    Raises:
        UserError: There is such a file; the message names it where it occurs.
    """
    real_folder = functools.cache(_real_folder)  # once for each folder: there may be millions of images
    first: dict[str, tuple[str, str]] = {}
    again: list[tuple[str, str]] = []
    for place in ((name, path) for name, split in splits.items() for path in split.paths):
        folder, file = os.path.split(place[1])
        if first.setdefault(os.path.join(real_folder(folder), file), place) is not place:
            again.append(place)
    if again:
        name, path = again[0]
        folder, file = os.path.split(path)
        other, other_path = first[os.path.join(real_folder(folder), file)]
        raise UserError(
            f"{len(again):,} images occur twice, such as {other_path} ({other}) and {path} ({name}), which are one "
            "file; each must be in one split, once"
        )


def _real_folder(path: str) -> str:
    """Return a folder without links; as it is if no file system could hold it."""
    return os.path.realpath(path) if is_possible_path(path) else path


def check_writable(path: str | Path, *, force: bool) -> None:
    """Check that a file may be written, before any work is done.

    Args:
        path: File to write.
        force: Allow overwriting.

    Raises:
        UserError: The file exists and `force` is False, or a folder has its name.
    """
    check_path(path, "file")
    if Path(path).is_dir():
        raise UserError(f"{path} is a folder; the name of a JSON file is needed")
    with translating(path, "file"):
        exists = Path(path).exists()
    if exists and not force:
        raise UserError(f"{path} exists; --force replaces it")


def write_split(path: str | Path, split: Split) -> None:
    """Write an annotation file, and <name>_labels.csv next to it if the classes have other labels in the source.

    Raises:
        UserError: A file cannot be written.
    """
    if split.source_labels is not None:
        _write_label_table(Path(path).with_name(f"{Path(path).stem}_labels.csv"), split)
    write_annotations(path, annotations_of(split, path))


def _write_label_table(path: Path, split: Split) -> None:
    """Write a CSV table of the labels of the source and those of the annotation file."""
    names = split.classes or [""] * split.num_classes
    with translating(path, "table of labels"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as file:
            table = csv.writer(file)
            table.writerow(("category_id", "source_label", "name", "images"))
            table.writerows(
                zip(range(split.num_classes), split.source_labels or (), names, split.class_counts(), strict=True)
            )
    logger.info("%s: the %d labels of the source are numbered from 0", path, split.num_classes)


def annotations_of(split: Split, path: str | Path) -> dict[str, Any]:
    """Return the content of the annotation file of a split.

    Images below the folder of the annotation file have relative paths, so that both can be moved together; other images
    have absolute paths.

    Args:
        split: The split.
        path: Annotation file.
    """
    folder = os.path.join(os.path.abspath(Path(path).parent), "")
    entries: list[dict[str, Any]] = []
    for index, (image, label) in enumerate(zip(split.paths, split.labels, strict=True)):
        entry = {"image_id": index, "fpath": os.path.abspath(image).removeprefix(folder)}
        if split.sizes is not None:
            entry["im_height"], entry["im_width"] = split.sizes[index]
        weight = {} if split.weights is None else {"weight": float(split.weights[index])}
        entries.append(entry | {"category_id": int(label)} | weight)
    classes = {} if split.classes is None else {"classes": list(split.classes)}
    return {"version": VERSION, "num_classes": split.num_classes, **classes, "annotations": entries}


def write_annotations(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write the content of an annotation file atomically, one annotation per line.

    Raises:
        UserError: The file cannot be written.
    """
    head = json.dumps({key: value for key, value in content.items() if key != "annotations"})
    lines = ",\n".join(json.dumps(entry) for entry in content["annotations"])
    with translating(path, "annotation file"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as file:
            file.write(f'{head[:-1]}, "annotations": [\n{lines}\n]}}\n')
