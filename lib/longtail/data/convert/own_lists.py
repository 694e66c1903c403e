"""Converter for own lists of images: text with one "path label" per line, or CSV with the columns path and label."""

import csv
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from longtail.data.convert.class_folders import SPLIT_NAMES
from longtail.data.convert.hold_out import HoldOut, divide
from longtail.data.convert.presence import check_images
from longtail.data.convert.split import Split, check_writable, write_split
from longtail.data.convert.summary import log_summary
from longtail.errors import UserError, errors_in
from longtail.user_files import read_text

logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """One image of a list.

    Attributes:
        path: Image file as listed.
        label: Label as listed, a number or a name.
        split: Split as listed: train, valid or test; empty if the list does not say.
    """

    path: str
    label: str
    split: str = ""


def convert_own_lists(
    lists: Mapping[str, str | Path],
    *,
    image_path: str | Path,
    output_path: str | Path,
    hold_out: HoldOut | None = None,
    check: bool = True,
    force: bool = False,
) -> None:
    """Write an annotation file of each split; labels become 0 to C - 1 in their order, with a table beside.

    Args:
        lists: Lists by the name of their split: train, valid, test. A CSV file of the training images may have a column
            `split` and list the others too.
        image_path: Folder of relative image paths.
        output_path: Folder of the annotation files train.json, valid.json and test.json.
        hold_out: How many training images to hold out, if there are no validation images; None: none.
        check: Check that all images exist.
        force: Replace existing files.

    Raises:
        UserError: A list is invalid, an image has two labels, a label has no training images, images do not exist, or a
            file would be overwritten.
    """
    splits = read_own_lists(lists, image_path=image_path)
    if hold_out is not None:
        if "valid" in splits:
            raise UserError("the lists name validation images; none are held out of the training images")
        parts = divide(splits["train"], hold_out)
        splits.update({"train": parts.train, "valid": parts.valid})
        if parts.test is not None:
            splits["test"] = parts.test
    outputs = {name: Path(output_path) / f"{name}.json" for name in splits}
    for output in outputs.values():
        check_writable(output, force=force)
    if check:
        for name, split in splits.items():
            check_images(split.paths, f"{name} images")
    for name, split in splits.items():
        write_split(outputs[name], split)
        log_summary(outputs[name], split)


def read_own_lists(lists: Mapping[str, str | Path], *, image_path: str | Path) -> dict[str, Split]:
    """Return the splits of own lists by name, see `convert_own_lists`."""
    rows: dict[str, list[Row]] = {}
    for name, path in lists.items():
        for row in read_rows(path):
            rows.setdefault(row.split or name, []).append(row)
    if not rows.get("train"):
        raise UserError("the lists name no training images")
    labels = sorted_labels({row.label for row in rows["train"]})
    number = {label: index for index, label in enumerate(labels)}
    for name, of_split in rows.items():
        unknown = sorted({row.label for row in of_split} - set(labels))
        if unknown:
            raise UserError(f"{name} images have labels that no training image has: {', '.join(unknown[:10])}")
    numbers = all(label.isdecimal() for label in labels)
    own = labels == [str(index) for index in range(len(labels))]
    return {
        name: Split(
            [os.path.join(image_path, row.path) for row in rows[name]],
            [number[row.label] for row in rows[name]],
            num_classes=len(labels),
            classes=None if numbers else labels,
            source_labels=None if own else labels,
        )
        for name in ("train", "valid", "test")
        if name in rows
    }


def read_rows(path: str | Path) -> list[Row]:
    """Return the images of one list.

    Raises:
        UserError: It cannot be read, is empty, has invalid lines, or gives an image two labels; the message lists the
            first ten.
    """
    text = read_text(path, "list")
    parsed = _csv_rows(text, path) if Path(path).suffix.lower() == ".csv" else _text_rows(text)
    rows: list[Row] = []
    errors: list[str] = []
    first: dict[str, tuple[int, str]] = {}
    for line, row in parsed:
        before = first.setdefault(row.path, (line, row.label)) if isinstance(row, Row) else None
        if isinstance(row, str):
            errors.append(f"line {line} {row}")
        elif before is not None and before[0] != line:
            errors.append(f"line {line}: {row.path} is listed in line {before[0]} too, there with label {before[1]}")
        else:
            rows.append(row)
    if errors:
        raise errors_in(f"list {path}", errors)
    if not rows:
        raise UserError(f"list {path} lists no images")
    return rows


def sorted_labels(labels: set[str]) -> Sequence[str]:
    """Return labels in their order: by number if all are numbers, else alphabetically."""
    return sorted(labels, key=int) if all(label.isdecimal() for label in labels) else sorted(labels)


def _text_rows(text: str) -> Iterator[tuple[int, Row | str]]:
    """Yield (line number, image or error) of "path label" lines; a path may hold spaces."""
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.strip().rsplit(maxsplit=1)
        if parts:
            yield number, _row(*parts) if len(parts) == 2 else f"is {line.strip()[:80]!r}; expected: path label"


def _csv_rows(text: str, path: str | Path) -> Iterator[tuple[int, Row | str]]:
    """Yield (line number, image or error) of a CSV file with a header."""
    reader = csv.DictReader(text.splitlines())
    names = [(name or "").strip().lower() for name in reader.fieldnames or []]
    if not {"path", "label"} <= set(names):
        raise UserError(f"list {path}: the first line is {','.join(names)[:80]!r}; it must name the columns path,label")
    reader.fieldnames = names
    for record in reader:
        fields = [(record.get(name) or "").strip() for name in ("path", "label", "split")]
        if not all(fields[:2]):
            yield reader.line_num, "has no path or no label"
        elif fields[2] and fields[2].lower() not in SPLIT_NAMES:
            yield reader.line_num, f"has split {fields[2]!r}; allowed: train, valid, test"
        else:
            yield reader.line_num, _row(*fields)


def _row(path: str, label: str, split: str = "") -> Row | str:
    """Return an image; an error if its label is a number that is too long to be one."""
    if label.isdecimal() and len(label) > 18:
        return f"has the label {label[:20]}..., which is too long"
    return Row(path, label, SPLIT_NAMES.get(split.lower(), ""))
