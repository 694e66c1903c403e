"""Verification of a data set: all errors of its annotation files and images in one run."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from longtail.data.annotations import MOST_CLASSES, class_names_of
from longtail.data.convert.own import own_splits
from longtail.data.convert.split import annotations_of
from longtail.data.inspect.inspection import Inspection, inspect_all
from longtail.errors import UserError
from longtail.user_files import is_folder, is_own_images, read_json

# Kinds of errors and their titles, in the order of the report.
KINDS = {
    "annotation": "malformed annotations",
    "label": "labels out of range",
    "classes": "different classes",
    "class": "classes without images",
    "missing": "missing files",
    "folder": "folders instead of files",
    "no permission": "files without permission to read",
    "empty": "empty files",
    "damaged": "files that do not decode",
    "size": "images whose size differs from their annotation",
    "duplicate": "images listed again in the same file",
    "leak": "images also listed in another split",
}


@dataclass(frozen=True)
class Finding:
    """One error.

    Attributes:
        kind: A key of `KINDS`.
        split: Annotation file.
        index: Index of the annotation, or label of the class without images; -1: the whole file.
        path: Path of the image as listed; empty if the error has no image.
        detail: Description of the error in one line.
    """

    kind: str
    split: str
    index: int
    path: str
    detail: str


@dataclass(frozen=True)
class Entry:
    """One annotation that names an image.

    Attributes:
        index: Index of the annotation.
        path: Path of the image as listed.
        label: Class id; None if it is out of range.
        size: Height and width as listed; None if they are missing.
    """

    index: int
    path: str
    label: int | None
    size: tuple[int, int] | None


@dataclass
class Split:
    """One annotation file, read leniently.

    Attributes:
        name: Annotation file, or own images and their split.
        root: Folder of relative image paths.
        num_classes: Number of classes C.
        entries: Annotations that name an image.
        counts: Images per class, (C,).
        sizes: Number of images of each size (height, width).
        examples: First image of each size: (index, path).
        class_names: Names of the classes, (C,); empty if the file does not name them.
    """

    name: str
    root: Path
    num_classes: int
    entries: list[Entry]
    counts: list[int]
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    examples: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)
    class_names: list[str] = field(default_factory=list)


class Report(NamedTuple):
    """The result of a verification.

    Attributes:
        splits: The annotation files.
        findings: All errors, in the order in which they were found.
    """

    splits: list[Split]
    findings: list[Finding]


ProgressBar = Callable[[Iterable[Inspection], int], Iterable[Inspection]]


def verify(
    sources: Sequence[str],
    root: str = "",
    *,
    workers: int = 0,
    progress: ProgressBar = lambda inspections, total: inspections,
) -> Report:
    """Check the lists of images of a data set, and all of the images.

    Args:
        sources: Annotation files, one per split; or folders or lists of own images, see `own_splits`.
        root: Folder of relative image paths; empty: the folder of each annotation file.
        workers: Number of worker processes that read images; 0: no worker processes.
        progress: Wraps the iterator over inspections, given their number, to show progress.

    Raises:
        UserError: A source cannot be read, or a file is not an annotation file.
    """
    findings: list[Finding] = []
    splits = [_check(listed, findings=findings) for source in sources for listed in _listed(source, root)]
    for split in splits[1:]:
        if split.num_classes != splits[0].num_classes:
            detail = f"has {split.num_classes} classes, {splits[0].name} has {splits[0].num_classes}"
            findings.append(Finding("classes", split.name, -1, "", detail))
        elif split.class_names and splits[0].class_names and split.class_names != splits[0].class_names:
            detail = f"lists other classes, or another order of classes, than {splits[0].name}"
            findings.append(Finding("classes", split.name, -1, "", detail))
    listed = [(split, entry) for split in splits for entry in split.entries]
    paths = [str(split.root / entry.path) for split, entry in listed]
    inspections = progress(inspect_all(paths, workers), len(paths))
    duplicates = _Duplicates()
    for (split, entry), inspection in zip(listed, inspections, strict=True):
        if inspection.kind:
            findings.append(Finding(inspection.kind, split.name, entry.index, entry.path, inspection.detail))
            continue
        split.sizes[inspection.size] += 1
        split.examples.setdefault(inspection.size, (entry.index, entry.path))
        if entry.size and entry.size != inspection.size:
            detail = f"is {_format_size(inspection.size)}, its annotation says {_format_size(entry.size)}"
            findings.append(Finding("size", split.name, entry.index, entry.path, detail))
        findings += duplicates.find(split, entry, inspection=inspection)
    return Report(splits, findings)


def as_json(report: Report) -> dict[str, Any]:
    """Return the whole report as plain values for a JSON file."""
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for kind in KINDS:
        for finding in report.findings:
            if finding.kind == kind:
                by_kind[kind].append({key: value for key, value in vars(finding).items() if key != "kind"})
    splits = [
        {
            "file": split.name,
            "images": len(split.entries),
            "num_classes": split.num_classes,
            "class_counts": split.counts,
            "class_names": split.class_names,
            "shot_groups": count_shot_groups(split.counts),
            "sizes": [
                {"height": height, "width": width, "images": count}
                for (height, width), count in split.sizes.most_common()
            ],
            "smallest": extreme(split, min),
            "largest": extreme(split, max),
        }
        for split in report.splits
    ]
    return {"good": not report.findings, "errors": len(report.findings), "splits": splits, "found": dict(by_kind)}


def count_shot_groups(counts: Sequence[int]) -> dict[str, int]:
    """Return the number of many-, medium- and few-shot classes, by the thresholds of the literature."""
    from longtail.evaluation import shot_groups

    return {name: len(classes) for name, classes in shot_groups(counts).items()}


def extreme(split: Split, choose: Callable[..., tuple[int, int]]) -> dict[str, Any] | None:
    """Return the first image of the smallest or largest area.

    Args:
        split: The split.
        choose: `min` or `max`.

    Returns:
        Height, width, index and path of the image; None if no image is valid.
    """
    if not split.sizes:
        return None
    height, width = size = choose(split.sizes, key=lambda size: (size[0] * size[1], size))
    index, path = split.examples[size]
    return {"height": height, "width": width, "index": index, "path": path}


class _Listed(NamedTuple):
    """The images of a split, as they are listed.

    Attributes:
        name: Annotation file, or own images and their split.
        folder: Folder of relative image paths.
        annotations: As in the file, (N,).
        num_classes: Number of classes C.
        class_names: Names of the classes, (C,), or empty.
    """

    name: str
    folder: Path
    annotations: list[Any]
    num_classes: int
    class_names: list[str]


def _listed(source: str, root: str) -> list[_Listed]:
    """Return the images of an annotation file, or of every split of own images."""
    if not is_own_images(source):
        return [_Listed(source, Path(root) if root else Path(source).parent, *_read_json(source))]
    if root:
        raise UserError(f"--root {root} is for annotation files; {source} is a folder or list of images")
    folder = Path(source) if is_folder(source) else Path(source).parent
    contents = {name: annotations_of(split, folder / name) for name, split in own_splits(source, None).items()}
    return [
        _Listed(f"{source} {name}", folder, content["annotations"], content["num_classes"], content.get("classes", []))
        for name, content in contents.items()
    ]


def _check(listed: _Listed, *, findings: list[Finding]) -> Split:
    """Return the valid annotations of a split, and add all errors to the findings."""
    file, folder, annotations, num_classes, names = listed
    if names and len(names) != num_classes:
        findings.append(Finding("classes", file, -1, "", f"names {len(names)} of {num_classes} classes"))
        names = []
    entries = []
    counts = [0] * num_classes
    for index, annotation in enumerate(annotations):
        path = annotation.get("fpath") if isinstance(annotation, dict) else None
        if not isinstance(path, str) or not path:
            findings.append(Finding("annotation", file, index, "", f"names no image: {str(annotation)[:60]}"))
            continue
        label = annotation.get("category_id")
        if type(label) is int and 0 <= label < num_classes:
            counts[label] += 1
        else:
            detail = f"has category_id {label!r}; allowed: 0 to {num_classes - 1}"
            findings.append(Finding("label", file, index, path, detail))
            label = None
        size = (annotation.get("im_height"), annotation.get("im_width"))
        if any(side is not None and (type(side) is not int or side < 1) for side in size):
            shown = " and ".join(str(side)[:20] for side in size)
            detail = f"has im_height and im_width {shown}; they must be positive whole numbers"
            findings.append(Finding("annotation", file, index, path, detail))
        entries.append(Entry(index, path, label, size if all(type(side) is int for side in size) else None))
    for label, count in enumerate(counts):
        if not count:
            name = f" ({names[label]})" if names else ""
            findings.append(Finding("class", file, label, "", f"class {label}{name} has no images"))
    return Split(file, folder, num_classes, entries, counts, class_names=names)


def _read_json(file: str) -> tuple[list[Any], int, list[str]]:
    """Return the annotations, the number of classes and their names (or []) of an annotation file."""
    content = read_json(file, "annotation file")
    annotations = content.get("annotations") if isinstance(content, dict) else None
    num_classes = content.get("num_classes") if isinstance(content, dict) else None
    if not isinstance(annotations, list) or type(num_classes) is not int or not 1 <= num_classes <= MOST_CLASSES:
        raise UserError(
            f'annotation file {file} must hold {{"annotations": [...], "num_classes": C}}, C from 1 to {MOST_CLASSES}'
        )
    if not annotations:
        raise UserError(f"annotation file {file} lists no images")
    return annotations, num_classes, [str(name) for name in class_names_of(content)]


class _Image(NamedTuple):
    """A valid image and where it is listed."""

    split: Split
    entry: Entry
    file_digest: bytes


class _Duplicates:
    """Finds images with equal pixels, within a split and across splits."""

    def __init__(self) -> None:
        self._first: dict[bytes, _Image] = {}  # by pixel digest
        self._first_of_split: dict[tuple[str, bytes], _Image] = {}  # by split and pixel digest

    def find(self, split: Split, entry: Entry, *, inspection: Inspection) -> list[Finding]:
        """Record an image and return its findings."""
        image = _Image(split, entry, inspection.file_digest)
        inside = self._first_of_split.setdefault((split.name, inspection.pixel_digest), image)
        anywhere = self._first.setdefault(inspection.pixel_digest, image)
        findings = []
        if inside is not image:
            findings.append(Finding("duplicate", split.name, entry.index, entry.path, _describe_copy(image, inside)))
        if anywhere.split is not split:
            findings.append(Finding("leak", split.name, entry.index, entry.path, _describe_copy(image, anywhere)))
        return findings


def _describe_copy(image: _Image, first: _Image) -> str:
    """Return which image listed before has the same pixels."""
    relation = "has the same bytes as" if image.file_digest == first.file_digest else "has the same pixels as"
    if image.split.root / image.entry.path == first.split.root / first.entry.path:
        relation = "is the same file as"
    where = f"{first.split.name} {first.entry.index}" if first.split is not image.split else str(first.entry.index)
    differs = first.entry.label != image.entry.label
    other = f", there of class {first.entry.label} instead of {image.entry.label}" if differs else ""
    return f"{relation} {where} ({first.entry.path}){other}"


def _format_size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
