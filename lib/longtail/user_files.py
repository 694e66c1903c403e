"""Access to the files and folders that users name, with errors reported in one line.

Files that are not regular (reading FIFOs and devices never ends), files above a size limit, and paths that no file
system can hold are refused. Errors of the operating system are reported as
"<kind> <path> cannot be <read|written>: <reason>".
"""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

from longtail.errors import MissingFile, UserError

MEGABYTE = 2**20
LARGEST = {
    "config file": MEGABYTE,
    "recipe": MEGABYTE,
    "annotation file": 4096 * MEGABYTE,
    "image": 1024 * MEGABYTE,
}  # bytes by kind of file; other kinds have no limit
DEEPEST = 100  # levels of nesting in a JSON file
LONGEST_NAME = 255  # bytes of one part of a path, on the usual file systems

PathLike = str | os.PathLike[str]


def shown(path: PathLike) -> str:
    """Return a path as one line of printable characters."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)[1:-1]


def is_possible_path(path: str) -> bool:
    """Return whether a file system could hold a path, see `check_path`."""
    try:
        check_path(path, "path")
    except UserError:
        return False
    return True


def is_folder(path: PathLike) -> bool:
    """Return whether there is a folder at a path; False if it is inaccessible, or no file system could hold it."""
    return stat.S_ISDIR(_mode(path))


def is_file(path: PathLike) -> bool:
    """Return whether there is a regular file at a path; False if it is inaccessible."""
    return stat.S_ISREG(_mode(path))


def is_image_list(path: PathLike) -> bool:
    """Return whether a path is that of a list of images: it ends in .csv or .txt and is not a folder."""
    return os.fspath(path).lower().endswith((".csv", ".txt")) and not is_folder(path)


def is_own_images(path: PathLike) -> bool:
    """Return whether a path is that of a folder or list of images."""
    return is_folder(path) or is_image_list(path)


def _mode(path: PathLike) -> int:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):  # ValueError: NUL, or lone surrogates
        return 0


def check_path(path: PathLike, kind: str) -> None:
    """Refuse a path that no file system can hold.

    Args:
        path: Path.
        kind: Noun for the message, for example "config file", or a key.

    Raises:
        UserError: It holds a NUL character, characters that are not text, or a name that is too long.
    """
    text = os.fspath(path)
    if "\0" in text:
        raise UserError(f"{kind} {shown(path)}: a path must not hold a NUL character")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise UserError(f"{kind} {shown(path)}: a path must not hold lone surrogates") from None
    longest = max((len(part) for part in encoded.split(b"/")), default=0)
    if longest > LONGEST_NAME:
        raise UserError(f"{kind} {shown(path)[:80]}...: a name in a path has {longest} bytes, at most {LONGEST_NAME}")


def check_text(path: str, kind: str) -> None:
    """Refuse an existing path that is not UTF-8: it could not be printed, nor written to tables.

    Args:
        path: Path.
        kind: Noun for the message.

    Raises:
        UserError: It is not.
    """
    if not is_utf_8(path):
        raise UserError(f"{kind} {shown(path)}: its name is not UTF-8; rename it")


def is_utf_8(path: str) -> bool:
    """Return whether a path is UTF-8; Python keeps other bytes of a name as lone surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def translating(path: PathLike, kind: str, *, verb: str = "written") -> Iterator[None]:
    """Within the block, report errors of the operating system in one line.

    Args:
        path: File or folder that is used.
        kind: Noun for the message.
        verb: What is done to it: "written" or "read".

    Raises:
        UserError: The operating system reported an error.
    """
    try:
        yield
    except OSError as error:
        raise os_error(error, path, kind=kind, verb=verb) from None
    except ValueError as error:
        if "null byte" not in str(error) and "null character" not in str(error):
            raise
        raise UserError(f"{kind} {shown(path)}: a path must not hold a NUL character") from None


def os_error(error: OSError, path: PathLike, *, kind: str, verb: str) -> UserError:
    """Return the `UserError` that reports an error of the operating system."""
    where = error.filename if isinstance(error.filename, str) and verb == "written" else path
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.ENOENT and verb == "read":
        return MissingFile(f"{kind} {shown(path)} does not exist")
    return UserError(f"{kind} {shown(where)} cannot be {verb}: {reason}")


def check_regular(path: PathLike, kind: str) -> int:
    """Refuse a file that is not regular or too large; return its size in bytes.

    Raises:
        UserError: It does not exist, is a folder, FIFO or device, or is larger than `LARGEST` allows.
    """
    check_path(path, kind)
    with translating(path, kind, verb="read"):
        status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"{kind} {shown(path)} cannot be read: it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{kind} {shown(path)} cannot be read: it is not a regular file")
    limit = LARGEST.get(kind)
    if limit is not None and status.st_size > limit:
        size = status.st_size / MEGABYTE
        raise UserError(f"{kind} {shown(path)} has {size:,.1f} MB; at most {limit // MEGABYTE:,} MB are read")
    return status.st_size


def read_bytes(path: PathLike, kind: str) -> bytes:
    """Return the content of a regular file.

    Raises:
        UserError: See `check_regular`, or it cannot be read.
    """
    check_regular(path, kind)
    with translating(path, kind, verb="read"), open(path, "rb", buffering=0) as file:
        return file.readall()


def read_text(path: PathLike, kind: str) -> str:
    """Return the content of a text file in UTF-8, with or without a byte-order mark, or in UTF-16 with one.

    Raises:
        UserError: See `read_bytes`, or it is not text.
    """
    content = read_bytes(path, kind)
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(f"{kind} {shown(path)} is not UTF-8 text: byte {error.start} is invalid") from None


def read_json(path: PathLike, kind: str) -> Any:
    """Return the content of a JSON file.

    Raises:
        UserError: See `read_text`; or it is not JSON, nested too deeply, or holds numbers that are too long.
    """
    text = read_text(path, kind)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        what = "is empty" if not text.strip() else f"line {error.lineno} column {error.colno}: {error.msg}"
        raise UserError(f"{kind} {shown(path)} {what}; it must hold JSON") from None
    except RecursionError:
        raise UserError(f"{kind} {shown(path)} is nested too deeply") from None
    except ValueError:  # Python limits the digits of a number
        raise UserError(f"{kind} {shown(path)} holds a number with too many digits") from None
