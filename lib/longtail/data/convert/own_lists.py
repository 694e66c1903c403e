"""Converter for own lists of images: text with one "path label" per line, or CSV with the columns path and label."""

import contextlib
import csv
import io
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from longtail.data.convert.class_folders import SPLIT_NAMES, class_name
from longtail.data.convert.groups import FOLDER
from longtail.data.convert.hold_out import HoldOut, divide
from longtail.data.convert.presence import check_images
from longtail.data.convert.split import Split, check_apart, check_writable, write_split
from longtail.data.convert.summary import log_summary
from longtail.errors import UserError, errors_in
from longtail.registry import nearest
from longtail.user_files import read_text

logger = logging.getLogger(__name__)

GROUP = "group"  # column of the groups, unless another one is named


class Row(NamedTuple):
    """One image of a list.

    Attributes:
        path: Image file as listed.
        label: Label as listed, a number or a name.
        split: Split as listed: train, valid or test; empty if the list does not say.
        group: Group as listed, or the absolute folder of the image; empty if it has none.
        weight: Weight of the image in the loss; None if the list has no weights.
    """

    path: str
    label: str
    split: str = ""
    group: str = ""
    weight: float | None = None


def convert_own_lists(
    lists: Mapping[str, str | Path],
    *,
    image_path: str | Path,
    output_path: str | Path,
    hold_out: HoldOut | None = None,
    group: str = GROUP,
    check: bool = True,
    force: bool = False,
) -> None:
    """Write an annotation file of each split; labels become 0 to C - 1 in their order, listed in a CSV table.

    Args:
        lists: Lists by the name of their split: train, valid, test. A CSV file of the training images may also list
            the others, with a column `split`.
        image_path: Folder of relative image paths.
        output_path: Folder of the annotation files train.json, valid.json and test.json.
        hold_out: How many training images to hold out, if there are no validation images; None: none.
        group: Column of groups that are held out together; see `read_own_lists`.
        check: Check that all images exist.
        force: Replace existing files.

    Raises:
        UserError: A list is invalid, an image occurs twice, a label has no training images, images do not exist, or a
            file would be overwritten.
    """
    splits = read_own_lists(lists, image_path=image_path, group=group)
    if hold_out is not None:
        if "valid" in splits:
            raise UserError("the lists name validation images, so none can be held out of the training images")
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
        log_summary(outputs[name], split, training=name == "train")


def read_own_lists(lists: Mapping[str, str | Path], *, image_path: str | Path, group: str = GROUP) -> dict[str, Split]:
    """Return the splits of own lists by name, see `convert_own_lists`.

    The labels are the names of the classes, unless they are 0 to C - 1.

    Args:
        lists: See `convert_own_lists`.
        image_path: See `convert_own_lists`.
        group: Column of a CSV file with the group of each image; `group` need not exist; `folder`: the folder of the
            image; empty: no groups.
    """
    rows: dict[str, list[Row]] = {}
    for name, path in lists.items():
        for row in read_rows(path, image_path=image_path, group=group):
            rows.setdefault(row.split or name, []).append(row)
    if not rows.get("train"):
        raise UserError("the lists name no training images")
    labels = sorted_labels({row.label for row in rows["train"]})
    number = {label: index for index, label in enumerate(labels)}
    for name, of_split in rows.items():
        unknown = sorted({row.label for row in of_split} - set(labels))
        if unknown:
            raise UserError(f"{name} images have labels that no training image has: {', '.join(unknown[:10])}")
    _warn_of_shared_groups(rows)
    numbered = labels == [str(index) for index in range(len(labels))]
    splits: dict[str, Split] = {
        name: Split(
            [os.path.join(image_path, row.path) for row in rows[name]],
            [number[row.label] for row in rows[name]],
            num_classes=len(labels),
            classes=None if numbered else labels,
            source_labels=None if numbered else labels,
            groups=[row.group for row in rows[name]] if any(row.group for row in rows[name]) else None,
            weights=_weights(rows[name]),
        )
        for name in ("train", "valid", "test")
        if name in rows
    }
    check_apart(splits)
    return splits


def _warn_of_shared_groups(rows: Mapping[str, Sequence[Row]]) -> None:
    """Name the groups that the lists themselves put into training and into held-out images."""
    groups = {name: {row.group for row in of_split if row.group} for name, of_split in rows.items()}
    for name in ("valid", "test"):
        shared = sorted(groups["train"] & groups.get(name, set()))
        if shared:
            shown = ", ".join(shared[:10]) + (", ..." if len(shared) > 10 else "")
            logger.warning("  WARNING: %d groups have both train and %s images: %s", len(shared), name, shown)


def _weights(rows: Sequence[Row]) -> list[float] | None:
    """Return the weights of images, 1 where one has none; None if none has one."""
    if all(row.weight is None for row in rows):
        return None
    return [1.0 if row.weight is None else row.weight for row in rows]


def read_rows(path: str | Path, *, image_path: str | Path = "", group: str = "") -> list[Row]:
    """Return the images of one list.

    Args:
        path: List.
        image_path: Folder of relative image paths, to know an image that is written in two ways.
        group: See `read_own_lists`.

    Raises:
        UserError: It cannot be read, is empty, has invalid lines or no column of this name, or gives an image two
            labels; the message lists the first ten.
    """
    text = read_text(path, "list")
    is_csv = Path(path).suffix.lower() == ".csv"
    if group not in ("", GROUP, FOLDER) and not is_csv:
        raise UserError(f"list {path} has no columns; DATASET.HOLD_OUT.GROUP is {group!r}, allowed: '{FOLDER}'")
    parsed = _csv_rows(text, path, group) if is_csv else _text_rows(text)
    rows: list[Row] = []
    errors: list[str] = []
    first: dict[str, tuple[int, str]] = {}
    for line, row in parsed:
        if isinstance(row, str):
            errors.append(f"line {line} {row}")
            continue
        absolute = os.path.abspath(os.path.join(image_path, row.path))
        before = first.setdefault(absolute, (line, row.label))
        if before[0] != line:
            errors.append(f"line {line}: {row.path} is listed in line {before[0]} too, there with label {before[1]}")
        else:
            rows.append(row._replace(group=os.path.dirname(absolute)) if group == FOLDER else row)
    if errors:
        raise errors_in(f"list {path}", errors)
    if not rows:
        raise UserError(f"list {path} lists no images")
    return rows


def sorted_labels(labels: set[str]) -> Sequence[str]:
    """Return labels in their order: by number if all are numbers, else alphabetically.

    Raises:
        UserError: Two labels are the same number, as 1 and 01.
    """
    if not all(label.isdecimal() for label in labels):
        return sorted(labels)
    result = sorted(sorted(labels), key=int)
    for first, second in pairwise(result):
        if int(first) == int(second):
            raise UserError(f"labels {first} and {second} are the same number; write it in one way")
    return result


def _text_rows(text: str) -> Iterator[tuple[int, Row | str]]:
    """Yield (line number, image or error) of "path label" lines; a path may hold spaces, after a tab a label too."""
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        text = line.strip()
        parts = [part.strip() for part in text.split("\t") if part] if "\t" in text else text.rsplit(maxsplit=1)
        if parts:
            valid = len(parts) == 2 and not parts[0].endswith((",", ";"))
            yield number, _row(*parts) if valid else f"is {text[:80]!r}; expected: path label, without commas"


def _csv_rows(text: str, path: str | Path, group: str) -> Iterator[tuple[int, Row | str]]:
    """Yield (line number, image or error) of a CSV file with a header."""
    reader = csv.reader(io.StringIO(text, newline=None), strict=True, skipinitialspace=True)
    with _csv_errors(path, lambda: reader.line_num):
        names = [name.strip().lower() for name in next(reader, [])]
    if not {"path", "label"} <= set(names):
        shown = ",".join(names)[:80]
        raise UserError(f"list {path}: the first line is {shown!r}; it must name the columns path,label, with commas")
    if group.lower() not in ("", GROUP, FOLDER, *names):
        raise UserError(
            f"list {path} has no column {group!r}, which DATASET.HOLD_OUT.GROUP names{nearest(group.lower(), names)}"
        )
    columns = ("path", "label", "split", "weight", group.lower())
    twice = [name for name in columns if name and names.count(name) > 1]
    if twice:
        raise UserError(f"list {path} has two columns {twice[0]!r}; one is needed")
    with _csv_errors(path, lambda: reader.line_num):
        for fields in filter(None, reader):
            record = dict(zip(names, map(str.strip, fields), strict=False))
            if any(field.strip() for field in fields[len(names) :]):
                error = (
                    f'has {len(fields)} fields, the first line {len(names)}; quote a field with commas: "shirt, red"'
                )
                yield reader.line_num, error
            else:
                yield reader.line_num, _csv_row(*(record.get(name, "") for name in columns))


@contextlib.contextmanager
def _csv_errors(path: str | Path, line: Callable[[], int]) -> Iterator[None]:
    """Within the block, report what is no CSV in one line, as a quote that is never closed."""
    try:
        yield
    except csv.Error as error:
        raise UserError(f"list {path} line {line()}: {error}") from None


def _csv_row(path: str, label: str, split: str, weight: str, group: str) -> Row | str:
    """Return an image; an error if a field is invalid."""
    if not path or not label:
        return "has no path or no label"
    if split and split.lower() not in SPLIT_NAMES:
        return f"has split {split!r}; allowed: train, valid, test"
    row = _row(path, label, split)
    if isinstance(row, str):
        return row
    try:
        number = float(weight) if weight else None
    except ValueError:
        number = math.nan
    if number is not None and not 0 <= number < math.inf:
        return f"has weight {weight[:40]!r}; it must be a finite number that is not negative"
    return row._replace(group=group, weight=number)


def _row(path: str, label: str, split: str = "") -> Row | str:
    """Return an image; an error if its label is a number with too many digits."""
    if label.isdecimal() and len(label) > 18:
        return f"has the label {label[:20]}..., which is too long"
    return Row(path, class_name(label), SPLIT_NAMES.get(split.lower(), ""))
