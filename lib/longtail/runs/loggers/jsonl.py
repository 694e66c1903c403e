"""metrics.jsonl: one JSON object per epoch and split."""

import json
from pathlib import Path

from longtail.files import atomic_write
from longtail.runs.directory import RunDirectory
from longtail.runs.loggers.base import LOGGERS, Record


class JsonLines:
    """Appends records to a file of JSON lines.

    Args:
        path: File.
        epoch: First epoch that will be written; lines from it on are dropped.
    """

    def __init__(self, path: Path, epoch: int = 1) -> None:
        self.path = path
        kept = [record for record in read_history(path) if record["epoch"] < epoch]
        with atomic_write(path, "w") as file:
            file.writelines(json.dumps(record) + "\n" for record in kept)

    def write(self, record: Record) -> None:
        """Append a record."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """See `Logger`; the file is closed after every record."""


@LOGGERS.register("jsonl")
def build(run: RunDirectory, epoch: int) -> JsonLines:
    """Build the logger of metrics.jsonl."""
    return JsonLines(run.metrics, epoch)


def read_history(path: Path) -> list[Record]:
    """Read metrics.jsonl; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records
