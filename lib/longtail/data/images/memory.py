"""Image files whose encoded bytes are kept in memory, for slow disks and machines with a lot of memory.

The bytes are kept, not the pixels: at ImageNet's mean of 110 KB per file, the 115,846 training images of ImageNet-LT
take 13 GB encoded; decoded, at a mean of 469 x 387 pixels, they would take 63 GB. The worker processes decode, and
share one copy of the bytes.
"""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from longtail.data.images.files import ImageFiles, file_size
from longtail.data.images.reading import READERS
from longtail.errors import UserError
from longtail.processors import processes_here

logger = logging.getLogger(__name__)


class MemoryFiles(ImageFiles):
    """Image files whose encoded bytes are read once into one block of memory.

    A file that cannot be opened takes no memory; its error is raised on access.

    Args:
        paths: See `ImageFiles`.
        labels: See `ImageFiles`.
        name: Name of the data set in messages.
        limit: See `ImageFiles`.
        fast: See `ImageFiles`.

    Raises:
        UserError: The machine has too little memory.
    """

    def __init__(
        self, paths: Sequence[str], labels: Tensor | None = None, *, name: str, limit: int = 0, fast: bool = False
    ) -> None:
        super().__init__(paths, labels, limit=limit, fast=fast)
        with ThreadPoolExecutor(READERS) as pool:
            sizes = list(pool.map(file_size, self.paths))
            total = sum(sizes)
            check_memory(name, len(self.paths), needed=total)
            self.ends = list(accumulate(sizes))
            # One block instead of a list of objects: reference counting would copy those page by page in each worker.
            self.block = torch.empty(total, dtype=torch.uint8)
            view = self.block.numpy().data

            def read(index: int) -> bool:
                return _read_into(self.paths[index], view[self.ends[index] - sizes[index] : self.ends[index]])

            self.loaded = list(pool.map(read, range(len(self.paths))))

    def __getitem__(self, index: int) -> Tensor:
        path = self.paths[index]
        if not self.loaded[index]:
            return self.decode(path)  # raises the read error, or succeeds if the file is readable again
        start = self.ends[index - 1] if index else 0
        return self.decode(path, self.block[start : self.ends[index]].numpy().tobytes())


def check_memory(name: str, files: int, *, needed: int) -> None:
    """Log how much memory the files take, and check that the machine has it.

    Args:
        name: Name of the data set in messages.
        files: Number of files.
        needed: Bytes needed by each process of the run.

    Raises:
        UserError: The free memory is not enough, or all processes of this machine together need more than its total.
    """
    free, total = machine_memory()
    processes = processes_here()
    per_process = f" in each of {processes} processes" if processes > 1 else ""
    text = f"{name}: {files:,} image files take {format_bytes(needed)} of memory{per_process}, "
    text += f"{format_bytes(free)} are free"
    # The other processes may have allocated their copies already, so those are compared with the total memory.
    if needed > free or needed * processes > total:
        raise UserError(f"{text} of {format_bytes(total)}; DATASET.CACHE none reads them from the disk")
    logger.info("%s", text)


def machine_memory() -> tuple[int, int]:
    """Return the free and the total memory of this machine in bytes."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux: only the total is known
        return total, total
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(facts["MemAvailable"].split()[0]) * 1024, total  # includes what the disk cache can release


def format_bytes(size: int) -> str:
    """Return a number of bytes as text in MB or GB."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _read_into(path: str, buffer: memoryview) -> bool:
    """Read a file into a buffer; return whether the file filled it."""
    if not len(buffer):
        return False
    try:
        with open(path, "rb") as file:
            return file.readinto(buffer) == len(buffer)
    except (OSError, ValueError):
        return False
