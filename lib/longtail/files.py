"""Atomic writing of files, and digests of files."""

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

TEMPORARY = re.compile(r"\..{1,32}\.[0-9a-f]{12}\.tmp")  # names of temporary files


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Yield an open file that replaces `path` when the block ends without an exception.

    The data goes to a temporary file in the same folder, is flushed to the disk (fsync), and is renamed to `path` in
    one step. If the block raises, the temporary file is removed and `path` is unchanged. A process killed while writing
    leaves the old file as it was. A symbolic link is followed, and the permissions of an existing file are kept.

    Args:
        path: File to write; its folder must exist.
        mode: "wb" for bytes, "w" for UTF-8 text whose line ends are written as given.

    Returns:
        A context manager over the open temporary file.

    Raises:
        ValueError: Another mode; appending or updating cannot be atomic.
        OSError: The folder does not exist or cannot be written.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_write writes whole files: mode must be 'wb' or 'w', not {mode!r}")
    target = Path(os.path.realpath(path))
    # A plain open (mkstemp makes files private to their owner) applies the usual umask. The name is cut, so that a long
    # target name does not push the temporary one past the limit of the file system.
    temporary = target.parent / f".{target.name[:32]}.{secrets.token_hex(6)}.tmp"
    text = {} if mode == "wb" else {"encoding": "utf-8", "newline": ""}
    file = open(temporary, mode.replace("w", "x"), **text)  # type: ignore[call-overload]  # noqa: SIM115
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, os.stat(target).st_mode & 0o777)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def remove_temporary_files(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder to which no other process writes."""
    for path in folder.glob(".*.tmp") if folder.is_dir() else []:
        if TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_or(path: str | os.PathLike[str], word: str) -> str:
    """Return the SHA-256 of a file, or the word if it cannot be read."""
    try:
        return sha256(path)
    except OSError:
        return word
