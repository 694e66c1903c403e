"""Verifying a data set: every fault of its annotation files and images, found at once."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from longtail.data.inspect.inspection import Inspection, inspect_all
from longtail.errors import UserError

# Kinds of faults, in the order of a report, and what they are called there.
KINDS = {
    "annotation": "malformed annotations",
    "label": "labels out of range",
    "classes": "other numbers of classes",
    "class": "classes without images",
    "missing": "missing files",
    "folder": "folders instead of files",
    "no permission": "files without permission to read",
    "empty": "empty files",
    "damaged": "files that do not decode",
    "size": "images of another size than their annotation says",
    "duplicate": "images that their file lists again",
    "leak": "images that another file lists, too",
}


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        kind: a key of `KINDS`.
        split: the annotation file.
        index: of the annotation, or of the class without images; -1: the whole file.
        path: of the image, as listed; empty where there is none.
        detail: what is wrong, in one line.
    """

    kind: str
    split: str
    index: int
    path: str
    detail: str


@dataclass
class Split:
    """One annotation file, read leniently.

    Attributes:
        name: the annotation file.
        num_classes: C.
        entries: of the annotations that name an image: (index, path as listed, label or None, size or None).
        root: where relative paths start.
        counts: images of each class, (C,).
        sizes: how many images have a size (height, width).
        examples: the first image of each size: (index, path).
    """

    name: str
    num_classes: int
    entries: list[tuple[int, str, int | None, tuple[int, int] | None]]
    root: Path
    counts: list[int]
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    examples: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)


class Verdict(NamedTuple):
    """What came out."""

    splits: list[Split]
    findings: list[Finding]


Watch = Callable[[Iterable[Inspection], int], Iterable[Inspection]]


def verify(files: Sequence[str], root: str = "", workers: int = 0, watch: Watch = lambda seen, total: seen) -> Verdict:
    """Look at everything that annotation files list.

    Args:
        files: annotation files, one per split.
        root: folder that relative image paths start from; empty: the folder of the annotation file.
        workers: processes that read images; 0: this one.
        watch: wraps the inspections and their number, to show progress.

    Raises:
        UserError: an annotation file cannot be read, or is not of the form of one.
    """
    findings: list[Finding] = []
    splits = [_read(file, root, findings) for file in files]
    for split in splits[1:]:
        if split.num_classes != splits[0].num_classes:
            detail = f"has {split.num_classes} classes, {splits[0].name} has {splits[0].num_classes}"
            findings.append(Finding("classes", split.name, -1, "", detail))
    listed = [(split, *entry) for split in splits for entry in split.entries]
    paths = [str(split.root / path) for split, _, path, _, _ in listed]
    first: dict[bytes, tuple[Split, int, str, int | None, bytes]] = {}
    inside: dict[tuple[str, bytes], tuple[Split, int, str, int | None, bytes]] = {}
    inspections = watch(inspect_all(paths, workers), len(paths))
    for (split, index, path, label, size), seen in zip(listed, inspections, strict=True):
        if seen.kind:
            findings.append(Finding(seen.kind, split.name, index, path, seen.detail))
            continue
        split.sizes[seen.size] += 1
        split.examples.setdefault(seen.size, (index, path))
        if size and size != seen.size:
            detail = f"is {_by(seen.size)}, its annotation says {_by(size)}"
            findings.append(Finding("size", split.name, index, path, detail))
        this = (split, index, path, label, seen.file_digest)
        for kind, known in (
            ("duplicate", inside.setdefault((split.name, seen.pixel_digest), this)),
            ("leak", first.setdefault(seen.pixel_digest, this)),
        ):
            if known is not this and (kind == "duplicate" or known[0] is not split):
                findings.append(Finding(kind, split.name, index, path, _same_as(this, known)))
    return Verdict(splits, findings)


def report(verdict: Verdict) -> dict[str, Any]:
    """Return everything that was found, as plain values for a JSON file."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for kind in KINDS:
        for finding in verdict.findings:
            if finding.kind == kind:
                found[kind].append({key: value for key, value in vars(finding).items() if key != "kind"})
    splits = [
        {
            "file": split.name,
            "images": len(split.entries),
            "num_classes": split.num_classes,
            "class_counts": split.counts,
            "shot_groups": shots(split.counts),
            "sizes": [
                {"height": height, "width": width, "images": count}
                for (height, width), count in split.sizes.most_common()
            ],
            "smallest": extreme(split, min),
            "largest": extreme(split, max),
        }
        for split in verdict.splits
    ]
    return {"good": not verdict.findings, "faults": len(verdict.findings), "splits": splits, "found": dict(found)}


def shots(counts: Sequence[int]) -> dict[str, int]:
    """Return how many classes are many, medium and few shot, by the thresholds of the literature."""
    from longtail.evaluation import shot_groups

    return {name: len(classes) for name, classes in shot_groups(counts).items()}


def extreme(split: Split, choose: Callable[..., tuple[int, int]]) -> dict[str, Any] | None:
    """Return the first image of the smallest (`min`) or largest (`max`) area, None where no image is sound."""
    if not split.sizes:
        return None
    height, width = size = choose(split.sizes, key=lambda size: (size[0] * size[1], size))
    index, path = split.examples[size]
    return {"height": height, "width": width, "index": index, "path": path}


def _read(file: str, root: str, findings: list[Finding]) -> Split:
    """Read an annotation file and note every fault in it."""
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"annotation file {file} does not exist") from None
    except (OSError, ValueError) as error:
        raise UserError(f"annotation file {file} cannot be read: {error}; it must hold JSON") from None
    listed = content.get("annotations") if isinstance(content, dict) else None
    num_classes = content.get("num_classes") if isinstance(content, dict) else None
    if not isinstance(listed, list) or type(num_classes) is not int or num_classes < 1:
        raise UserError(f'annotation file {file} must hold {{"annotations": [...], "num_classes": C}}, C from 1')
    if not listed:
        raise UserError(f"annotation file {file} lists no images")

    entries = []
    counts = [0] * num_classes
    for index, entry in enumerate(listed):
        path = entry.get("fpath") if isinstance(entry, dict) else None
        if not isinstance(path, str) or not path:
            findings.append(Finding("annotation", file, index, "", f"names no image: {str(entry)[:60]}"))
            continue
        label = entry.get("category_id")
        if type(label) is int and 0 <= label < num_classes:
            counts[label] += 1
        else:
            detail = f"has category_id {label!r}; allowed: 0 to {num_classes - 1}"
            findings.append(Finding("label", file, index, path, detail))
            label = None
        size = (entry.get("im_height"), entry.get("im_width"))
        entries.append((index, path, label, size if all(type(side) is int for side in size) else None))
    for label, count in enumerate(counts):
        if not count:
            findings.append(Finding("class", file, label, "", f"class {label} has no images"))
    return Split(file, num_classes, entries, Path(root) if root else Path(file).parent, counts)


def _same_as(this: tuple, known: tuple) -> str:
    """Say in which image the same pixels were met before."""
    split, index, path, label, digest = known
    what = "has the same bytes as" if this[4] == digest else "has the same pixels as"
    if this[0].root / this[2] == split.root / path:
        what = "is the same file as"
    where = f"{split.name} {index}" if split is not this[0] else str(index)
    other = f", there of class {label} instead of {this[3]}" if label != this[3] else ""
    return f"{what} {where} ({path}){other}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
