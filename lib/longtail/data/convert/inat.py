"""iNaturalist, 2017 to 2021, from the COCO-style files of its competitions."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from longtail.data.convert.lists import read_list
from longtail.data.convert.presence import check_images
from longtail.data.convert.published import PUBLISHED
from longtail.data.convert.split import Split, refuse_overwriting, write_split
from longtail.data.convert.summary import tell
from longtail.errors import UserError, faults_in

CLASSES_2018 = 8142


def convert_inat(
    input_file: str | Path, image_path: str | Path, output_file: str | Path, check: bool = True, force: bool = False
) -> None:
    """Turn one file of iNaturalist into an annotation file.

    Args:
        input_file: train2018.json and the like; or a .txt list of iNaturalist 2018, one "path label" per line.
        image_path: folder that the image paths in it start from.
        output_file: the annotation file.
        check: whether to look for every image.
        force: whether to replace the file.

    Raises:
        UserError: the file is wrong, images do not exist, or a file would be overwritten.
    """
    refuse_overwriting(output_file, force)
    if Path(input_file).suffix == ".txt":
        split = read_list(input_file, image_path, CLASSES_2018)
    else:
        split = read_coco(input_file, image_path)
    if check:
        check_images(split.paths, str(input_file))
    write_split(output_file, split)
    same_classes = [
        name
        for name, published in PUBLISHED.items()
        if name.startswith("iNaturalist") and published.classes == split.num_classes
    ]
    tell(output_file, split, *same_classes)


def read_coco(path: str | Path, image_path: str | Path) -> Split:
    """Read a COCO-style file: {"images": [...], "annotations": [...], "categories": [...]}.

    Images and annotations are matched by image id, in the order of the images, and each image has one annotation.

    Args:
        path: the file.
        image_path: folder that the file names in it start from.

    Raises:
        UserError: the file cannot be read, lacks a part (as those of test images do), its category ids are not 0 to
            C - 1, or images and annotations do not match; names the first ten such images.
    """
    content = _read_json(path)
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold an object with {', '.join(parts)}")
    lacking = [part for part in parts if not isinstance(content.get(part), list) or not content[part]]
    if lacking:
        raise UserError(f"{path} has no {' and no '.join(lacking)}; a file of training or validation images is needed")
    try:
        ids = sorted(category["id"] for category in content["categories"])
        labels: dict[Any, list[int]] = {}
        for annotation in content["annotations"]:
            labels.setdefault(annotation["image_id"], []).append(annotation["category_id"])
        images = [(image["id"], image["file_name"]) for image in content["images"]]
    except (TypeError, KeyError) as error:
        raise UserError(f"{path} is no COCO-style file: an entry lacks {error}") from None
    num_classes = len(ids)
    if ids != list(range(num_classes)):
        raise UserError(f"{path}: category ids run from {ids[0]} to {ids[-1]}; they must be 0 to {num_classes - 1}")

    known = Counter(identity for identity, _ in images)
    faults = [f"annotated image {identity} is not among the images" for identity in labels if identity not in known]
    for identity, name in images:
        found = labels.get(identity, [])
        if known[identity] != 1:
            faults.append(f"image {identity} is listed {known[identity]} times")
        elif not isinstance(name, str) or not name:
            faults.append(f"image {identity} has file_name {name!r}; it must be the path of an image")
        elif len(found) != 1:
            faults.append(f"image {identity} ({name}) has {len(found)} annotations; it must have one")
        elif found[0] not in range(num_classes):
            faults.append(f"image {identity} ({name}) has category_id {found[0]!r}; allowed: 0 to {num_classes - 1}")
    if faults:
        raise faults_in(str(path), faults)
    return Split(
        [os.path.join(image_path, name) for _, name in images],
        [labels[identity][0] for identity, _ in images],
        num_classes,
        _sizes(content["images"]),
        _names(content["categories"]),
    )


def _sizes(images: list[dict[str, Any]]) -> list[tuple[int, int]] | None:
    """Return heights and widths where all images have them."""
    sizes = [(image.get("height"), image.get("width")) for image in images]
    return sizes if all(type(side) is int for size in sizes for side in size) else None  # type: ignore[return-value]


def _names(categories: list[dict[str, Any]]) -> list[str] | None:
    """Return the names of the classes where all have one."""
    names = [category.get("name") for category in sorted(categories, key=lambda category: category["id"])]
    return names if all(isinstance(name, str) for name in names) else None  # type: ignore[return-value]


def _read_json(path: str | Path) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} line {error.lineno} column {error.colno}: {error.msg}; it must hold JSON") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
