"""Image files whose bytes are kept in memory: for slow disks, and for machines with more memory than the set needs.

The encoded bytes are kept, not the pixels: at ImageNet's mean of 110 KB a file, the 115,846 training images of
ImageNet-LT take 13 GB so; decoded, at its mean of 469 x 387 pixels, they would take 63 GB. Decoding stays with the
worker processes, which share the one copy.
"""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from longtail.data.images.files import ImageFiles
from longtail.data.images.reading import READERS, read_image
from longtail.errors import UserError

logger = logging.getLogger(__name__)


class MemoryFiles(ImageFiles):
    """Image files read once, whole and encoded, into one block of memory.

    Args:
        name: what messages call the set.
        paths, labels, limit: see `ImageFiles`. What cannot be opened is kept as nothing, and told when it is asked for.

    Raises:
        UserError: the machine has not enough memory.
    """

    def __init__(self, name: str, paths: Sequence[str], labels: Tensor | None = None, limit: int = 0) -> None:
        super().__init__(paths, labels, limit)
        with ThreadPoolExecutor(READERS) as pool:
            sizes = list(pool.map(_size, self.paths))
            needed = sum(sizes)
            check_memory(name, len(self.paths), needed)
            self.ends = list(accumulate(sizes))
            # One block, not a list of objects: workers would copy those page by page as they count references.
            self.block = torch.empty(needed, dtype=torch.uint8)
            view = self.block.numpy().data
            self.kept = list(
                pool.map(
                    lambda i: _fill(self.paths[i], view[self.ends[i] - sizes[i] : self.ends[i]]), range(len(self.paths))
                )
            )

    def __getitem__(self, position: int) -> Tensor:
        path = self.paths[position]
        if not self.kept[position]:
            return read_image(path)  # tells what is wrong with it, or finds it mended
        start = self.ends[position - 1] if position else 0
        return read_image(path, self.block[start : self.ends[position]].numpy().tobytes())


def check_memory(name: str, files: int, needed: int) -> None:
    """Say how much memory files will take, and refuse what the machine does not have.

    Args:
        name: what messages call the set.
        files: how many.
        needed: bytes, in each process of the run.

    Raises:
        UserError: more than is free, or than all processes of this machine can have.
    """
    free, total = machine_memory()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # set by torchrun
    each = f" in each of {processes} processes" if processes > 1 else ""
    text = f"{name}: {files:,} image files take {gigabytes(needed)} of memory{each}, {gigabytes(free)} are free"
    # The other processes may have taken their share already, so theirs counts against all there is.
    if needed > free or needed * processes > total:
        raise UserError(f"{text} of {gigabytes(total)}; DATASET.CACHE none reads them from the disk")
    logger.info("%s", text)


def machine_memory() -> tuple[int, int]:
    """Return the free and the whole memory of this machine, bytes."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux: only the whole is known
        return total, total
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(facts["MemAvailable"].split()[0]) * 1024, total  # free, or given back by the disk cache when asked


def gigabytes(size: int) -> str:
    """Return a number of bytes in words."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return 0


def _fill(path: str, place: memoryview) -> bool:
    """Read a file into its place; return whether it filled it."""
    try:
        with open(path, "rb") as file:
            return file.readinto(place) == len(place) > 0
    except (OSError, ValueError):
        return False
