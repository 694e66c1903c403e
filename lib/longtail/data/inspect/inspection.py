"""Inspection of single image files: whether each decodes completely, its size, and digests to find duplicates."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch.utils.data import Dataset

from longtail.data.images.in_workers import in_workers
from longtail.data.images.reading import read_pixels
from longtail.errors import MissingFile, UserError
from longtail.user_files import check_regular, shown

FILES_PER_TASK = 32  # files that a worker process returns at once


class Inspection(NamedTuple):
    """The result for one image file.

    Attributes:
        kind: Kind of error: missing, folder, no permission, empty or damaged; None if the file is valid.
        detail: Description of the error in one line.
        size: Height and width.
        file_digest: Digest of the bytes of the file.
        pixel_digest: Digest of the decoded pixels and their shape.
    """

    kind: str | None = None
    detail: str = ""
    size: tuple[int, int] = (0, 0)
    file_digest: bytes = b""
    pixel_digest: bytes = b""


def inspect(path: str) -> Inspection:
    """Read one file and decode it completely, as training does."""
    try:
        if os.path.isdir(path):
            return Inspection("folder", "is a folder")
        check_regular(path, "image")
        content = Path(path).read_bytes()
    except (FileNotFoundError, MissingFile):
        return Inspection("missing", "does not exist")
    except PermissionError:
        return Inspection("no permission", "cannot be opened: no permission")
    except OSError as error:
        return Inspection("damaged", f"cannot be opened: {error.strerror or error}")
    except UserError as error:
        return Inspection("damaged", str(error).removeprefix(f"image {shown(path)} "))
    if not content:
        return Inspection("empty", "has no bytes")
    try:
        pixels = read_pixels(path, content)
    except UserError as error:
        return Inspection("damaged", str(error).removeprefix(f"image {path} "))
    height, width = pixels.shape[:2]
    shape = f"{height} {width} ".encode()
    return Inspection(None, "", (height, width), _digest(content), _digest(shape + pixels.tobytes()))


def inspect_all(paths: Sequence[str], workers: int) -> Iterator[Inspection]:
    """Yield the inspection of each file, in order.

    Args:
        paths: Image files, (N,).
        workers: Number of worker processes, limited to the number of processors; 0: no worker processes.
    """
    for inspections in in_workers(_Inspections(paths), workers, batch_size=FILES_PER_TASK, collate_fn=list):
        yield from inspections


class _Inspections(Dataset[Inspection]):
    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Inspection:
        return inspect(self.paths[index])


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
