"""Converter for iNaturalist, 2017 to 2021, from the COCO-style files of its competitions."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

from longtail.data.convert.lists import read_list
from longtail.data.convert.presence import check_images
from longtail.data.convert.published import PUBLISHED
from longtail.data.convert.split import Split, check_writable, write_split
from longtail.data.convert.summary import log_summary
from longtail.errors import UserError, errors_in
from longtail.user_files import read_json

CLASSES_2018 = 8142
LONGEST_SIDE = 1_000_000  # pixels; larger numbers are mistakes
# Entries that the parts of a COCO-style file need, with their types.
FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "images": {"id": (int, str), "file_name": (str,)},
    "annotations": {"image_id": (int, str), "category_id": (int,)},
    "categories": {"id": (int,)},
}
KIND_NAMES: dict[type, str] = {int: "a whole number", str: "a string"}


def convert_inat(
    input_file: str | Path, *, image_path: str | Path, output_file: str | Path, check: bool = True, force: bool = False
) -> None:
    """Convert one file of iNaturalist to an annotation file.

    Args:
        input_file: COCO-style file, such as train2018.json; or a .txt list of iNaturalist 2018, one "path label" per
            line.
        image_path: Folder of the image paths in the file.
        output_file: Annotation file to write.
        check: Check that all images exist.
        force: Replace an existing file.

    Raises:
        UserError: The file is invalid, images do not exist, or a file would be overwritten.
    """
    check_writable(output_file, force=force)
    if Path(input_file).suffix == ".txt":
        split = read_list(input_file, image_path, num_classes=CLASSES_2018)
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
    log_summary(output_file, split, *same_classes)


def read_coco(path: str | Path, image_path: str | Path) -> Split:
    """Read a COCO-style file: {"images": [...], "annotations": [...], "categories": [...]}.

    Annotations are matched to images by image id; each image must have one annotation. The order is that of the images.
    Category ids that have gaps or start at 1 are renumbered from 0 to C - 1 in their order.

    Args:
        path: COCO-style file.
        image_path: Folder of the file names in it.

    Raises:
        UserError: The file cannot be read, lacks a part (as those of test images do), or images and annotations do not
            match; the message lists the first ten such images.
    """
    content = read_json(path, "annotation file")
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold an object with {', '.join(parts)}")
    missing = [part for part in parts if not isinstance(content.get(part), list) or not content[part]]
    if missing:
        raise UserError(f"{path} has no {' and no '.join(missing)}; a file of training or validation images is needed")
    for part, entries in FIELDS.items():
        _check_entries(content[part], f"{path}: {part}", entries=entries)
    ids = sorted(category["id"] for category in content["categories"])
    if len(set(ids)) != len(ids):
        raise UserError(f"{path}: several categories have the same id")
    labels: dict[int | str, list[int]] = {}
    for annotation in content["annotations"]:
        labels.setdefault(annotation["image_id"], []).append(annotation["category_id"])
    images = [(image["id"], image["file_name"]) for image in content["images"]]
    label_of = {category_id: label for label, category_id in enumerate(ids)}
    errors = _errors(images, labels, ids=ids)
    if errors:
        raise errors_in(str(path), errors)
    return Split(
        [os.path.join(image_path, name) for _, name in images],
        [label_of[labels[image_id][0]] for image_id, _ in images],
        num_classes=len(ids),
        sizes=_sizes(content["images"]),
        classes=_names(content["categories"]),
        source_labels=None if ids == list(range(len(ids))) else list(map(str, ids)),
    )


def _check_entries(values: list[Any], where: str, *, entries: dict[str, tuple[type, ...]]) -> None:
    """Check that all values are objects with these entries of these types."""
    for index, value in enumerate(values):
        for name, types in entries.items():
            if not isinstance(value, dict) or name not in value:
                raise UserError(f"{where}[{index}] has no {name}; this is not a COCO-style file")
            if type(value[name]) not in types:
                kinds = " or ".join(KIND_NAMES[kind] for kind in types)
                raise UserError(f"{where}[{index}] has {name} {str(value[name])[:40]!r}; it must be {kinds}")


def _errors(images: list[tuple[Any, str]], labels: dict[Any, list[int]], *, ids: list[int]) -> list[str]:
    """Return the errors of images (id, file name) and their category ids by image id."""
    known = set(ids)
    counts = Counter(image_id for image_id, _ in images)
    errors = [f"annotated image {image_id} is not among the images" for image_id in labels if image_id not in counts]
    for image_id, name in images:
        of_image = labels.get(image_id, [])
        if counts[image_id] != 1:
            errors.append(f"image {image_id} is listed {counts[image_id]} times")
        elif not name:
            errors.append(f"image {image_id} has an empty file_name; it must be the path of an image")
        elif len(of_image) != 1:
            errors.append(f"image {image_id} ({name}) has {len(of_image)} annotations; it must have one")
        elif of_image[0] not in known:
            errors.append(f"image {image_id} ({name}) has category_id {of_image[0]}, which is not among the categories")
    return errors


def _sizes(images: list[dict[str, Any]]) -> list[tuple[int, int]] | None:
    """Return the heights and widths of all images; None if some are missing."""
    sizes = [(image.get("height"), image.get("width")) for image in images]
    known = all(type(side) is int and 0 < side < LONGEST_SIDE for size in sizes for side in size)
    return sizes if known else None  # type: ignore[return-value]


def _names(categories: list[dict[str, Any]]) -> list[str] | None:
    """Return the names of all classes; None if some are missing."""
    names = [category.get("name") for category in sorted(categories, key=lambda category: category["id"])]
    return names if all(isinstance(name, str) for name in names) else None  # type: ignore[return-value]
