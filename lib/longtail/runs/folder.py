"""A folder that one process at a time may write to."""

import fcntl
import json
import math
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from longtail import user_files
from longtail.errors import UserError
from longtail.files import atomic_write
from longtail.user_files import translating


class LockedFolder:
    """A folder with a lock that is released when the process ends, even if it is killed.

    Processes that are forked, as those of a loader, do not hold it: they outlive a killed process by seconds.

    Args:
        path: Folder; it must exist before `lock`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def lock(self) -> bool:
        """Take the lock; return False if another process has it."""
        with translating(self.path, "folder"):
            file = open(self.path / ".lock", "a")  # noqa: SIM115  (open for as long as this object lives)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except OSError:  # a file system without locks: continue without one
            pass
        self._lock = file
        _HELD.add(self)
        return True

    def unlock(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file in the folder atomically; numbers that are not finite become null.

        Raises:
            UserError: It cannot be written.
        """
        path = self.path / name
        with translating(path, "file"), atomic_write(path, "w") as file:
            json.dump(finite(content), file, indent=2, allow_nan=False)
            file.write("\n")

    def write_text(self, name: str, content: str) -> None:
        """Write a text file in the folder atomically.

        Raises:
            UserError: It cannot be written.
        """
        path = self.path / name
        with translating(path, "file"), atomic_write(path, "w") as file:
            file.write(content)


_HELD: weakref.WeakSet[LockedFolder] = weakref.WeakSet()  # locked by this process


def _close_in_child() -> None:
    """Close the inherited lock files, which leaves the locks with the parent."""
    for folder in _HELD:
        folder.unlock()


os.register_at_fork(after_in_child=_close_in_child)


def finite(content: Any) -> Any:
    """Return plain values with numbers that are not finite, which JSON does not have, replaced by None."""
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return content


def read_json(path: Path) -> Any:
    """Return the content of a JSON file of this project; None if it is missing or damaged."""
    try:
        return user_files.read_json(path, "file")
    except UserError:
        return None
