"""Records of trainings: a folder of small JSON files."""

import json
from pathlib import Path
from typing import TypeVar

from longtail.errors import UserError

T = TypeVar("T")


def read_folder(folder: Path, kind: type[T]) -> list[T]:
    """Read all records of a folder, in the order of their names.

    Args:
        folder: Folder; it may be absent.
        kind: Class of the records, whose fields are the entries of the files.

    Raises:
        UserError: A file is not a record.
    """
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            records.append(kind(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"record {path} cannot be read: {error}") from None
    return records
