"""What every converter makes: one split of a data set, and how it becomes an annotation file."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longtail.data.annotations import VERSION
from longtail.errors import UserError
from longtail.files import atomic_write


@dataclass(frozen=True)
class Split:
    """Images and labels of one split.

    Attributes:
        paths: image files, (N,).
        labels: class ids, (N,).
        num_classes: C.
        sizes: (height, width) of each image where they are known, (N,).
        classes: name of each class where they have names, (C,).
    """

    paths: Sequence[str]
    labels: Sequence[int]
    num_classes: int
    sizes: Sequence[tuple[int, int]] | None = None
    classes: Sequence[str] | None = None

    def class_counts(self) -> list[int]:
        """Return the images of each class, (C,)."""
        counts: list[int] = np.bincount(self.labels, minlength=self.num_classes).tolist()
        return counts


def refuse_overwriting(path: str | Path, force: bool) -> None:
    """Make sure that a file may be written, before any work is done.

    Raises:
        UserError: it exists and `force` is not set, or its name is that of a folder.
    """
    if Path(path).is_dir():
        raise UserError(f"{path} is a folder; the name of a JSON file is needed")
    if Path(path).exists() and not force:
        raise UserError(f"{path} exists; --force replaces it")


def write_split(path: str | Path, split: Split) -> None:
    """Write an annotation file.

    Raises:
        UserError: the file cannot be written.
    """
    write_content(path, content_of(path, split))


def content_of(path: str | Path, split: Split) -> dict[str, Any]:
    """Return what an annotation file holds.

    Images below the file's own folder are listed relative to it, so that both may be moved together; others by their
    absolute path.
    """
    folder = os.path.join(os.path.abspath(Path(path).parent), "")
    entries: list[dict[str, Any]] = []
    for number, (image, label) in enumerate(zip(split.paths, split.labels, strict=True)):
        entry = {"image_id": number, "fpath": os.path.abspath(image).removeprefix(folder)}
        if split.sizes is not None:
            entry["im_height"], entry["im_width"] = split.sizes[number]
        entries.append(entry | {"category_id": int(label)})
    classes = {} if split.classes is None else {"classes": list(split.classes)}
    return {"version": VERSION, "num_classes": split.num_classes, **classes, "annotations": entries}


def write_content(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write the content of an annotation file, one annotation per line; the file is whole or absent.

    Raises:
        UserError: the file cannot be written.
    """
    head = json.dumps({key: value for key, value in content.items() if key != "annotations"})
    lines = ",\n".join(json.dumps(entry) for entry in content["annotations"])
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as file:
            file.write(f'{head[:-1]}, "annotations": [\n{lines}\n]}}\n')
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
