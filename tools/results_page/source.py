"""What the gallery shows, read from docs/gallery.yaml."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail.config import read_yaml
from longtail.errors import UserError


@dataclass(frozen=True)
class DataSet:
    """A column of the tables.

    Attributes:
        name: for readers.
        folder: of its configurations, from the root of the repository.
        images: training images that it has.
    """

    name: str
    folder: str
    images: int


@dataclass(frozen=True)
class Row:
    """A trick.

    Attributes:
        name: for readers.
        text: what it does.
        paper: who proposed it; empty: told by an earlier row.
        files: its configuration or recipe on each data set, from the root of the repository; None: there is none.
        stage: of a recipe, the one whose result counts; empty: its last.
        published: whose number -> top-1 error in percent on each data set; None: not published.
    """

    name: str
    text: str
    paper: str
    files: tuple[str | None, ...]
    stage: str
    published: dict[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class Group:
    """Tricks of one kind, on the same data sets."""

    title: str
    text: str
    sets: tuple[DataSet, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Gallery:
    """All groups, in the order of the page.

    Attributes:
        root: of the repository.
        groups: of the page.
    """

    root: Path
    groups: tuple[Group, ...]

    def entries(self) -> Iterator[tuple[Row, DataSet, str]]:
        """Yield every trick on every data set that it has a file for, and that file."""
        for group in self.groups:
            for row in group.rows:
                for data, file in zip(group.sets, row.files, strict=True):
                    if file:
                        yield row, data, file


def read_gallery(root: Path) -> Gallery:
    """Read docs/gallery.yaml.

    Args:
        root: of the repository.

    Raises:
        UserError: the file is malformed, or names a configuration that does not exist.
    """
    path = root / "docs" / "gallery.yaml"
    content = read_yaml(path, "gallery")
    try:
        sets = {kind: tuple(DataSet(**each) for each in listed) for kind, listed in content["sets"].items()}
        groups = tuple(_group(each, sets) for each in content["groups"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"gallery {path}: {type(error).__name__} {error}") from None
    gallery = Gallery(root, groups)
    for row, _, file in gallery.entries():
        if not (root / file).is_file():
            raise UserError(f"gallery {path}: {row.name}: {file} does not exist")
    return gallery


def _group(content: dict[str, Any], sets: dict[str, tuple[DataSet, ...]]) -> Group:
    columns = sets[content["sets"]]
    return Group(content["title"], content["text"], columns, tuple(_row(each, columns) for each in content["rows"]))


def _row(content: dict[str, Any], sets: tuple[DataSet, ...]) -> Row:
    file = content["file"]
    files = file if isinstance(file, list) else [file] * len(sets)
    published = {whose: tuple(numbers) for whose, numbers in content["published"].items()}
    if any(len(listed) != len(sets) for listed in (files, *published.values())):
        raise ValueError(f"({content['name']}: one file and one number for each of {len(sets)} data sets)")
    return Row(
        name=content["name"],
        text=content["text"],
        paper=content.get("paper", ""),
        files=tuple(each and f"{data.folder}/{each}" for each, data in zip(files, sets, strict=True)),
        stage=content.get("stage", ""),
        published=published,
    )
