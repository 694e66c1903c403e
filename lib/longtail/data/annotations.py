"""Annotation files: which images there are, and of which class.

{"annotations": [{"image_id", "fpath", "im_height", "im_width", "category_id"}, ...], "num_classes": C}; `fpath` and
`category_id` (from 0) are needed, the rest may be absent.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from longtail.errors import UserError


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
        UserError: the file is missing, malformed or empty, or an entry is wrong; names the first such entry and how
            many there are.
    """
    content = _read_json(Path(path))
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise UserError(f'annotation file {path} must hold {{"annotations": [...], "num_classes": C}}')
    num_classes = content.get("num_classes")
    if type(num_classes) is not int or num_classes < 1:
        raise UserError(f"annotation file {path}: num_classes is {num_classes!r}; it must be a whole number from 1")
    entries = content["annotations"]
    if not entries:
        raise UserError(f"annotation file {path} lists no images")

    base = Path(root) if root else Path(path).parent
    paths: list[str] = []
    labels: list[int] = []
    faults: list[str] = []
    for position, entry in enumerate(entries):
        fault = _fault(entry, num_classes)
        if fault:
            faults.append(f"annotation {position} {fault}")
        else:
            paths.append(str(base / entry["fpath"]))
            labels.append(entry["category_id"])
    if faults:
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise UserError(f"annotation file {path}: {faults[0]}{more}")
    return Annotations(paths, labels, num_classes)


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
        raise UserError(f"annotation file {path} does not exist") from None
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
