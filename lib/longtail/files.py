"""Files that are whole or absent: a process killed while writing leaves the old file as it was."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Yield an open file that takes the place of `path` only when the block ends without an exception.

    The data goes to a temporary file in the same folder, reaches the disk (fsync), and is renamed over `path`
    in one step. When the block raises, the temporary file is removed and `path` stays untouched.

    Args:
        path: the file to write; its folder must exist.
        mode: "wb" for bytes, "w" for UTF-8 text whose line ends are written as given.

    Returns:
        A context manager over the open temporary file.

    Raises:
        ValueError: another mode was asked for; appending or updating cannot be atomic.
        OSError: the folder does not exist or cannot be written.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_write writes whole files: mode must be 'wb' or 'w', not {mode!r}")
    target = Path(path)
    # A plain open (not mkstemp, which makes files private to their owner) lets the usual umask decide who may
    # read. The name is cut so that a long target name cannot push the temporary one past the limit of the
    # file system.
    temporary = target.parent / f".{target.name[:32]}.{secrets.token_hex(6)}.tmp"
    text = {} if mode == "wb" else {"encoding": "utf-8", "newline": ""}
    file = open(temporary, mode.replace("w", "x"), **text)  # type: ignore[call-overload]  # noqa: SIM115
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
