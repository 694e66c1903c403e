"""Published numbers and their configs, from docs/results.yaml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail.config import find_config, read_yaml
from longtail.errors import UserError


@dataclass(frozen=True)
class DataSet:
    """A column of the tables.

    Attributes:
        name: Name on the page.
        data: Short name of its config.
        images: Number of training images.
    """

    name: str
    data: str
    images: int


@dataclass(frozen=True)
class Row:
    """A method.

    Attributes:
        name: Name on the page.
        text: What it does.
        paper: Its paper; empty: that of an earlier row.
        configs: Config or recipe on each data set, without the data; None: there is none.
        stage: Stage of a recipe whose result counts; empty: the last.
        published: Source -> top-1 error in percent on each data set; None: not published.
    """

    name: str
    text: str
    paper: str
    configs: tuple[str | None, ...]
    stage: str
    published: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class Group:
    """Methods of one kind, on the same data sets.

    Attributes:
        title: Name on the page.
        text: What they have in common.
        when: When to use them.
        sets: Data sets.
        rows: Methods.
    """

    title: str
    text: str
    when: str
    sets: tuple[DataSet, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Published:
    """All groups, in the order of the page."""

    groups: tuple[Group, ...]

    def entries(self) -> Iterator[tuple[Row, DataSet, str]]:
        """Yield (row, data set, config) for every method on every data set that it has a config for."""
        for group in self.groups:
            for row in group.rows:
                for data, config in zip(group.sets, row.configs, strict=True):
                    if config:
                        yield row, data, config


def read_published(path: Path) -> Published:
    """Read docs/results.yaml.

    Raises:
        UserError: The file is malformed, or names a config that does not exist.
    """
    content = read_yaml(path, "results file")
    try:
        sets = {kind: tuple(DataSet(**each) for each in listed) for kind, listed in content["sets"].items()}
        published = Published(tuple(_group(each, sets) for each in content["groups"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"results file {path}: {type(error).__name__} {error}") from None
    for _, data, config in published.entries():
        for part in (data.data, *config.split(",")):
            find_config(part)
    return published


def _group(content: dict[str, Any], sets: dict[str, tuple[DataSet, ...]]) -> Group:
    columns = sets[content["sets"]]
    rows = tuple(_row(each, columns) for each in content["rows"])
    return Group(content["title"], content["text"], content["when"], columns, rows)


def _row(content: dict[str, Any], sets: tuple[DataSet, ...]) -> Row:
    config = content["config"]
    configs = config if isinstance(config, list) else [config] * len(sets)
    published = {source: tuple(numbers) for source, numbers in content.get("published", {}).items()}
    if any(len(listed) != len(sets) for listed in (configs, *published.values())):
        raise ValueError(f"({content['name']}: one config and one number for each of {len(sets)} data sets)")
    return Row(
        name=content["name"],
        text=content["text"],
        paper=content.get("paper", ""),
        configs=tuple(configs),
        stage=content.get("stage", ""),
        published=published,
    )
