"""Rows of the leaderboard: the compositions of tools/leaderboard.yaml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from longtail.config import read_yaml
from longtail.errors import UserError
from tools.run_settings import asked_settings, digest

ROWS_FILE = Path(__file__).resolve().parent.parent / "leaderboard.yaml"


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard.

    Attributes:
        name: Methods, or methods and a recipe, joined by commas.
        source: Composition: the data set and the name.
        settings: Overridden keys and their values.
        accepted: Whether it is trained again by `make acceptance`.
    """

    name: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    accepted: bool = False

    @property
    def overrides(self) -> list[Any]:
        """KEY, VALUE, ... of the settings."""
        return [part for pair in self.settings.items() for part in pair]

    @cached_property
    def digest(self) -> str:
        """Digest of the settings that its configs ask for today.

        Raises:
            UserError: The composition is invalid.
        """
        return digest(asked_settings(self.source, self.overrides))


@dataclass(frozen=True)
class Rows:
    """Content of a file of rows.

    Attributes:
        data: Short name of the data set.
        rows: Rows in the order of the file.
        left_out: Short name of a method or recipe without a row -> reason.
    """

    data: str
    rows: Sequence[Row]
    left_out: Mapping[str, str]

    def chosen(self, names: Sequence[str], settings: Mapping[str, Any]) -> list[Row]:
        """Return the rows with these names, all if there are none, with further settings.

        Raises:
            UserError: There is no such row.
        """
        known = {row.name: row for row in self.rows}
        missing = [name for name in names if name not in known]
        if missing:
            raise UserError(f"no row {missing[0]!r} in the leaderboard; available: {' '.join(known)}")
        rows = [known[name] for name in names] or list(self.rows)
        return [replace(row, settings={**row.settings, **settings}) for row in rows]


def read_rows(path: Path = ROWS_FILE) -> Rows:
    """Read a file of rows.

    Raises:
        UserError: The file is malformed.
    """
    content = read_yaml(path)
    try:
        data, common = content["data"], content["set"]
        rows = []
        for entry in content["rows"]:
            row: dict[str, Any] = {"config": entry} if isinstance(entry, str) else entry
            settings, accepted = {**common, **row.get("set", {})}, row.get("acceptance", False)
            rows.append(Row(row["config"], f"{data},{row['config']}", settings, accepted))
        return Rows(data, rows, content["left_out"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a file of leaderboard rows: {error!r}") from None
