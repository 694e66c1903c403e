"""Annotation files: which images there are, and of which class; docs/annotation_format.md describes them.

{"version": 1, "annotations": [{"image_id", "fpath", "im_height", "im_width", "category_id"}, ...], "num_classes": C};
`fpath` and `category_id` (from 0) are needed, as are the list and `num_classes`; the rest may be absent.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from longtail.errors import UserError, faults_in

VERSION = 1  # of the format; files of the released systems have no version and are read as this one


class Annotations(NamedTuple):
    """The content of an annotation file.

    Attributes:
        paths: image files, (N,), absolute or relative to the working directory.
        labels: class ids, (N,).
        num_classes: C.
    """

    paths: list[str]
    labels: list[int]
    num_classes: int


def read_annotations(path: str | Path, root: str | Path = "") -> Annotations:
    """Read and check an annotation file.

    Args:
        path: the file.
        root: folder that relative image paths start from; empty: the folder of the annotation file.

    Raises:
        UserError: see `load_annotations`.
    """
    content = load_annotations(path)
    base = str(Path(root) if root else Path(path).parent)
    prefix = "" if base == "." else base
    entries = content["annotations"]
    return Annotations(
        [os.path.join(prefix, entry["fpath"]) for entry in entries],
        [entry["category_id"] for entry in entries],
        content["num_classes"],
    )


def load_annotations(path: str | Path) -> dict[str, Any]:
    """Return the whole content of an annotation file, checked.

    Raises:
        UserError: the file is missing, malformed, empty or of another version, or entries are wrong; names the first
            ten such entries and how many there are.
    """
    content = _read_json(Path(path))
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise UserError(f'annotation file {path} must hold {{"annotations": [...], "num_classes": C}}')
    version = content.get("version", VERSION)
    if type(version) is not int or version != VERSION:
        raise UserError(f"annotation file {path}: version is {version!r}; this software reads version {VERSION}")
    num_classes = content.get("num_classes")
    if type(num_classes) is not int or num_classes < 1:
        raise UserError(f"annotation file {path}: num_classes is {num_classes!r}; it must be a whole number from 1")
    if not content["annotations"]:
        raise UserError(f"annotation file {path} lists no images")
    faults = [
        f"annotation {position} {fault}"
        for position, entry in enumerate(content["annotations"])
        if (fault := _fault(entry, num_classes))
    ]
    if faults:
        raise faults_in(f"annotation file {path}", faults)
    return content


def read_generated(path: str | Path, num_classes: int) -> Annotations:
    """Read and check the list of images that CAM-based sampling made.

    Args:
        path: an annotation file, or a plain list of annotations as Bag of Tricks wrote it; the paths in such a list
            start at the working directory, or, where its first image is not there, at the folder of the file.
        num_classes: C of the images that they were made from.

    Raises:
        UserError: as `read_annotations`, and where the file has another number of classes.
    """
    content = _read_json(Path(path))
    if not isinstance(content, list):
        listed = read_annotations(path)
        if listed.num_classes != num_classes:
            raise UserError(f"{path} has {listed.num_classes} classes, the training images have {num_classes}")
        return listed
    if not content:
        raise UserError(f"annotation file {path} lists no images")
    for position, entry in enumerate(content):
        fault = _fault(entry, num_classes)
        if fault:
            raise UserError(f"annotation file {path}: annotation {position} {fault}")
    base = Path() if Path(content[0]["fpath"]).is_file() else Path(path).parent
    paths = [str(base / entry["fpath"]) for entry in content]
    return Annotations(paths, [entry["category_id"] for entry in content], num_classes)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"annotation file {path} does not exist; docs/datasets tells how to make it") from None
    except json.JSONDecodeError as error:
        what = "is empty" if path.stat().st_size == 0 else f"line {error.lineno} column {error.colno}: {error.msg}"
        raise UserError(f"annotation file {path} {what}; it must hold JSON") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"annotation file {path} cannot be read: {error}") from None


def _fault(entry: Any, num_classes: int) -> str | None:
    """Return what is wrong with one annotation, None when nothing is."""
    if not isinstance(entry, dict):
        return f"is {entry!r}; it must be an object with fpath and category_id"
    fpath, label = entry.get("fpath"), entry.get("category_id")
    if not isinstance(fpath, str) or not fpath:
        return f"has fpath {fpath!r}; it must be the path of an image"
    if type(label) is not int or not 0 <= label < num_classes:
        return f"({fpath}) has category_id {label!r}; allowed: 0 to {num_classes - 1}"
    return None
