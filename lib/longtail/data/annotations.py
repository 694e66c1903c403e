"""Annotation files: the images of one split and their classes. docs/annotation_format.md describes the format.

{"version": 1, "annotations": [{"image_id", "fpath", "im_height", "im_width", "category_id"}, ...], "num_classes": C};
`annotations`, `num_classes`, `fpath` and `category_id` (from 0) are required, everything else is optional.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from yacs.config import CfgNode

from longtail.data.images.packed import PackedPixels, packed_pixels
from longtail.errors import MissingFile, UserError, errors_in
from longtail.user_files import is_possible_path, is_utf_8, read_json

MOST_CLASSES = 1_000_000  # a larger number is a mistake, and would take memory in every part of the software
VERSION = 1  # format version; files of the released systems have none and are read as version 1


class Annotations(NamedTuple):
    """The content of an annotation file.

    Attributes:
        paths: Image files, (N,), absolute or relative to the working directory.
        labels: Labels of all images, (N,).
        num_classes: Number of classes C.
        class_names: Names of the classes, (C,); empty if the file does not name them.
        pixels: Where the pixels are stored, if they were packed; `paths` then names the original files.
        weights: Weight of each image in the loss, (N,), 1 where an annotation has none; None if none has one.
    """

    paths: list[str]
    labels: list[int]
    num_classes: int
    class_names: tuple[str, ...] = ()
    pixels: PackedPixels | None = None
    weights: list[float] | None = None


def read_annotations(path: str | Path, root: str | Path = "") -> Annotations:
    """Read and check an annotation file.

    Args:
        path: Annotation file.
        root: Folder of relative image paths; empty: the folder of the annotation file.

    Raises:
        UserError: See `load_annotations`.
    """
    content = load_annotations(path)
    weighted = any("weight" in entry for entry in content["annotations"])
    return Annotations(
        image_paths(content, path, root=root),
        [entry["category_id"] for entry in content["annotations"]],
        content["num_classes"],
        class_names_of(content),
        packed_pixels(content, path),
        [float(entry.get("weight", 1)) for entry in content["annotations"]] if weighted else None,
    )


def root_of_files(cfg: CfgNode) -> str:
    """Return the folder of the relative paths in the annotation files of a config; "": that of each file."""
    root: str = cfg.DATASET.ROOT
    return "" if cfg.DATASET.DATASET == "own" else root  # the own images are there, or it is their list


def image_paths(content: Mapping[str, Any], path: str | Path, *, root: str | Path = "") -> list[str]:
    """Return the image files that the content of an annotation file lists, (N,), see `read_annotations`."""
    folder = str(Path(root) if root else Path(path).parent)
    prefix = "" if folder == "." else folder
    return [os.path.join(prefix, entry["fpath"]) for entry in content["annotations"]]


def load_annotations(path: str | Path) -> dict[str, Any]:
    """Return the whole content of an annotation file after checking it.

    Raises:
        UserError: The file is missing, malformed, empty or of another version, or annotations are invalid; the message
            lists the first ten of them and their number.
    """
    content = _read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise UserError(f'annotation file {path} must hold {{"annotations": [...], "num_classes": C}}')
    version = content.get("version", VERSION)
    if type(version) is not int or version != VERSION:
        raise UserError(f"annotation file {path}: version is {version!r}; this software reads version {VERSION}")
    if "num_classes" not in content and {"images", "categories"} <= set(content):
        raise UserError(
            f"annotation file {path} is in the format of COCO; tools/convert_from_iNat.py converts it, if each image "
            "has one category"
        )
    num_classes = content.get("num_classes")
    if type(num_classes) is not int or not 1 <= num_classes <= MOST_CLASSES:
        raise UserError(
            f"annotation file {path}: num_classes is {repr(num_classes)[:40]}; it must be a whole number from 1 to "
            f"{MOST_CLASSES}"
        )
    if not content["annotations"]:
        raise UserError(f"annotation file {path} lists no images")
    names = class_names_of(content)
    if names and (len(names) != num_classes or not all(isinstance(name, str) for name in names)):
        raise UserError(f"annotation file {path}: classes must be {num_classes} names, one per class, or absent")
    errors = [
        f"annotation {index} {error}"
        for index, entry in enumerate(content["annotations"])
        if (error := _error_of(entry, num_classes))
    ]
    if errors:
        raise errors_in(f"annotation file {path}", errors)
    return content


def class_names_of(content: dict[str, Any]) -> tuple[Any, ...]:
    """Return the class names in an annotation file, its `classes` or `class_names`; empty if it has neither."""
    names = content.get("classes") or content.get("class_names") or ()
    return tuple(names) if isinstance(names, (list, tuple)) else (names,)


def read_generated(path: str | Path, num_classes: int) -> Annotations:
    """Read and check the list of images generated by CAM-based sampling.

    Args:
        path: Annotation file, or a plain list of annotations as written by Bag of Tricks. The paths in such a list are
            relative to the working directory, or to the folder of the file if its first image is not found there.
        num_classes: Number of classes C of the original images.

    Raises:
        UserError: See `load_annotations`; also if the file has another number of classes.
    """
    content = _read_json(path)
    if not isinstance(content, list):
        generated = read_annotations(path)
        if generated.num_classes != num_classes:
            raise UserError(f"{path} has {generated.num_classes} classes, the training images have {num_classes}")
        return generated
    if not content:
        raise UserError(f"annotation file {path} lists no images")
    for index, entry in enumerate(content):
        error = _error_of(entry, num_classes)
        if error:
            raise UserError(f"annotation file {path}: annotation {index} {error}")
    folder = Path() if Path(content[0]["fpath"]).is_file() else Path(path).parent
    paths = [str(folder / entry["fpath"]) for entry in content]
    return Annotations(paths, [entry["category_id"] for entry in content], num_classes)


def _read_json(path: str | Path) -> Any:
    try:
        return read_json(path, "annotation file")
    except MissingFile as error:
        raise UserError(f"{error}; docs/datasets describes how to create it") from None


def _error_of(entry: Any, num_classes: int) -> str | None:
    """Return a description of the error of one annotation; None if it is valid."""
    if not isinstance(entry, dict):
        return f"is {entry!r}; it must be an object with fpath and category_id"
    fpath, label = entry.get("fpath"), entry.get("category_id")
    if not isinstance(fpath, str) or not fpath:
        return f"has fpath {fpath!r}; it must be the path of an image"
    if not fpath.isprintable() and not (is_possible_path(fpath) and is_utf_8(fpath)):
        return f"has fpath {fpath!r}; no file can have this name, or it is not UTF-8"
    if type(label) is not int or not 0 <= label < num_classes:
        return f"({fpath}) has category_id {label!r}; allowed: 0 to {num_classes - 1}"
    weight = entry.get("weight", 1)
    if type(weight) not in (int, float) or not 0 <= weight < math.inf:
        return f"({fpath}) has weight {weight!r}; it must be a finite number that is not negative"
    return None
