"""Converter for the split lists of ImageNet-LT and Places-LT (Liu et al., arXiv 1904.05160): "path label" per line."""

import argparse
import functools
import io
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from longtail.data.convert.presence import check_images
from longtail.data.convert.split import Split, check_writable, write_split
from longtail.data.convert.summary import log_summary
from longtail.errors import UserError, errors_in
from longtail.user_files import read_text, translating

logger = logging.getLogger(__name__)

OUTPUTS = {"train": "train.json", "val": "valid.json", "test": "test.json"}  # the names in configs/data


class ListedDataset(NamedTuple):
    """A data set published as split lists.

    Attributes:
        name: Name in `published.PUBLISHED`.
        num_classes: Number of classes C.
    """

    name: str
    num_classes: int


# Prefix of the split lists -> data set.
DATASETS = {
    "ImageNet_LT": ListedDataset("ImageNet-LT", 1000),
    "Places_LT": ListedDataset("Places-LT", 365),
}


def list_converter(
    prefix: str, parser: argparse.ArgumentParser, *, arguments: Sequence[str] | None = None
) -> Callable[[], None]:
    """Parse the command line of a converter of split lists.

    Args:
        prefix: A key of `DATASETS`.
        parser: Parser of the command, to which the options are added.
        arguments: Arguments of the command line; None: those of this process.

    Returns:
        A function that runs the conversion.
    """
    parser.add_argument("--input_path", required=True, help="folder of the split lists")
    parser.add_argument("--image_path", required=True, help="folder of the image paths in the lists")
    parser.add_argument(
        "--output_path", default=f"dataset/{prefix}", help=f"default: dataset/{prefix}, where the configs expect it"
    )
    parser.add_argument("--no-check", action="store_true", help="do not check that the images exist")
    parser.add_argument("--force", action="store_true", help="replace annotation files")
    options = parser.parse_args(arguments)
    return functools.partial(
        convert_lists,
        prefix,
        input_path=options.input_path,
        image_path=options.image_path,
        output_path=options.output_path,
        check=not options.no_check,
        force=options.force,
    )


def convert_lists(
    prefix: str,
    *,
    input_path: str | Path,
    image_path: str | Path,
    output_path: str | Path,
    check: bool = True,
    force: bool = False,
) -> None:
    """Convert <prefix>_train.txt, <prefix>_val.txt and <prefix>_test.txt to annotation files.

    A list that does not exist is skipped. Nothing is written before all lists and images are checked.

    Args:
        prefix: A key of `DATASETS`.
        input_path: Folder of the lists.
        image_path: Folder of the image paths in the lists.
        output_path: Folder of the annotation files train.json, valid.json and test.json.
        check: Check that all images exist.
        force: Replace existing files.

    Raises:
        UserError: No list exists, a list is invalid, images do not exist, or a file would be overwritten.
    """
    name, num_classes = DATASETS[prefix]
    lists = {split: Path(input_path) / f"{prefix}_{split}.txt" for split in OUTPUTS}
    with translating(input_path, "folder", verb="read"):
        existing = {split: path for split, path in lists.items() if path.exists()}
    if not existing:
        raise UserError(
            f"{input_path} holds none of {', '.join(path.name for path in lists.values())}; for your own lists: "
            "python tools/convert_from_lists.py --help"
        )
    outputs = {split: Path(output_path) / OUTPUTS[split] for split in existing}
    for output in outputs.values():
        check_writable(output, force=force)
    contents = {split: read_list(path, image_path, num_classes=num_classes) for split, path in existing.items()}
    if check:
        for split, content in contents.items():
            check_images(content.paths, str(existing[split]))
    for split, content in contents.items():
        write_split(outputs[split], content)
        log_summary(outputs[split], content, f"{name} {split}", training=split == "train")
    for split, path in lists.items():
        if split not in existing:
            logger.info("%s does not exist: no %s", path, OUTPUTS[split])


def read_list(path: str | Path, image_path: str | Path, *, num_classes: int) -> Split:
    """Read a split list.

    Args:
        path: Text file with one "path label" per line; the path may contain spaces.
        image_path: Folder of the image paths in the list.
        num_classes: Number of classes C; labels are 0 to C - 1.

    Raises:
        UserError: The file cannot be read or is empty, or lines are invalid; the message lists the first ten.
    """
    lines = io.StringIO(read_text(path, "split list"), newline=None)
    paths: list[str] = []
    labels: list[int] = []
    errors: list[str] = []
    for number, line in enumerate(lines, 1):
        parts = line.rsplit(maxsplit=1)
        if not parts:
            continue
        if len(parts) != 2 or not parts[1].isdecimal() or len(parts[1]) > 18 or int(parts[1]) >= num_classes:
            errors.append(f"line {number} is {line.strip()[:80]!r}; expected: path label, label 0 to {num_classes - 1}")
            continue
        paths.append(os.path.join(image_path, parts[0].lstrip()))
        labels.append(int(parts[1]))
    if errors:
        raise errors_in(f"split list {path}", errors)
    if not paths:
        raise UserError(f"split list {path} lists no images")
    return Split(paths, labels, num_classes=num_classes)
