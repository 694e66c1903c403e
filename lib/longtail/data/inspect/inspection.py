"""Looking at image files one by one: does each decode completely, how large is it, and which are the same?"""

import hashlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch.utils.data import DataLoader, Dataset

from longtail.data.images.reading import read_pixels
from longtail.errors import UserError

PER_TASK = 32  # files that a worker process hands back at once


class Inspection(NamedTuple):
    """What is known of one image file.

    Attributes:
        kind: kind of fault, None where the file is sound: missing, folder, no permission, empty or damaged.
        detail: the fault in one line.
        size: (height, width).
        file_digest: equal for files of equal bytes.
        pixel_digest: equal for images of equal pixels.
    """

    kind: str | None = None
    detail: str = ""
    size: tuple[int, int] = (0, 0)
    file_digest: bytes = b""
    pixel_digest: bytes = b""


def inspect(path: str) -> Inspection:
    """Read one file and decode it completely, as training does."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return Inspection("missing", "does not exist")
    except IsADirectoryError:
        return Inspection("folder", "is a folder")
    except PermissionError:
        return Inspection("no permission", "cannot be opened: no permission")
    except (OSError, ValueError) as error:
        return Inspection("damaged", f"cannot be opened: {error}")
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
    """Yield what is known of each file, in order.

    Args:
        paths: the files.
        workers: processes, no more than there are processors; 0: this one does the work.
    """
    workers = min(workers, len(os.sched_getaffinity(0)))
    # A loader for its workers: they end with this process, and the death of one is told.
    loader = DataLoader(
        _Files(paths), batch_size=PER_TASK, num_workers=workers, collate_fn=list, worker_init_fn=_end_silently
    )
    for inspections in loader:
        yield from inspections


class _Files(Dataset):
    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> Inspection:
        return inspect(self.paths[position])


def _end_silently(worker: int) -> None:
    """Let Ctrl-C end a worker without a word; the main process speaks."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
