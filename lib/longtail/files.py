"""Atomic writing of files, so that a killed process leaves the old file intact, and digests of files."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Yield an open file that replaces `path` only if the block ends without an exception.

    The data is written to a temporary file in the same folder, flushed to the disk (fsync), and renamed to `path` in
    one step. If the block raises, the temporary file is removed and `path` is not changed.

    Args:
        path: File to write; its folder must exist.
        mode: "wb" for bytes, "w" for UTF-8 text whose line ends are not translated.

    Returns:
        A context manager over the open temporary file.

    Raises:
        ValueError: The mode is not supported; appending and updating cannot be atomic.
        OSError: The folder does not exist or cannot be written.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_write writes whole files: mode must be 'wb' or 'w', not {mode!r}")
    target = Path(path)
    # Not mkstemp, whose files only their owner can read: with open, the umask applies. The name is truncated, so that
    # the temporary name of a long target name does not exceed the limit of the file system.
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


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 digest of a file as hexadecimal digits.

    Args:
        path: File to read.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
