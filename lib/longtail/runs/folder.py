"""A folder that one process at a time may write to."""

import fcntl
import json
from pathlib import Path
from typing import IO, Any

from longtail.files import atomic_write


class LockedFolder:
    """A folder with a lock that ends with the process, however that ends.

    Args:
        path: Folder; it must exist before `lock`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def lock(self) -> bool:
        """Take the lock; return False if another process has it."""
        file = open(self.path / ".lock", "a")  # noqa: SIM115  (open for as long as this object lives)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except OSError:  # a file system without locks: continue without
            pass
        self._lock = file
        return True

    def unlock(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file in the folder, whole or not at all."""
        with atomic_write(self.path / name, "w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file of this project; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
