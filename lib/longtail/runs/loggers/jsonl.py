"""metrics.jsonl: one JSON object per epoch and split."""

import contextlib
import json
from pathlib import Path

from longtail.files import atomic_write
from longtail.runs.directory import RunDirectory
from longtail.runs.folder import finite
from longtail.runs.loggers.base import LOGGERS, Record
from longtail.user_files import read_bytes, translating


class JsonLines:
    """Appends records to a file of JSON lines.

    Args:
        path: File.
        epoch: First epoch that will be written; lines of this and later epochs are dropped.
    """

    def __init__(self, path: Path, epoch: int = 1) -> None:
        self.path = path
        kept = [record for record in read_history(path) if record["epoch"] < epoch]
        with translating(path, "file"), atomic_write(path, "w") as file:
            file.writelines(_line(record) for record in kept)

    def write(self, record: Record) -> None:
        """Append a record."""
        with translating(self.path, "file"), open(self.path, "a", encoding="utf-8") as file:
            file.write(_line(record))

    def close(self) -> None:
        """See `Logger`; the file is closed after every record."""


@LOGGERS.register("jsonl")
def build(run: RunDirectory, epoch: int) -> JsonLines:
    """Build the logger of metrics.jsonl."""
    return JsonLines(run.metrics, epoch)


def read_history(path: Path) -> list[Record]:
    """Read metrics.jsonl; lines that are not records, such as one truncated by a kill, are skipped."""
    if not path.exists():
        return []
    lines = read_bytes(path, "file").decode(errors="replace").splitlines()
    records = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("epoch"), int) and "split" in record:
                records.append(record)
    return records


def _line(record: Record) -> str:
    return json.dumps(finite(record), allow_nan=False) + "\n"
