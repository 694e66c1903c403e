"""Packing as pixels: FOLDER/train.pixels holds the images one after the other, (H, W, 3) uint8 each.

Every annotation of FOLDER/train.json has the offset of its image in bytes, its height and width; `fpath` is the
original file. FOLDER/train.crc32 holds a checksum for each image, -1 before it is written; packing again verifies all
of them.
"""

import os
import zlib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from longtail.data.images.packed import CHANNELS
from longtail.data.images.reading import image_size
from longtail.data.pack.settings import Settings
from longtail.data.pack.work import copy_of, copy_size, in_threads
from longtail.errors import UserError
from longtail.user_files import translating

ABSENT = -1  # in place of the checksum of an image that is not written yet


def pack_pixels(
    content: Mapping[str, Any], paths: Sequence[str], *, folder: Path, split: str, settings: Settings
) -> dict[str, Any]:
    """Pack the images of one split; return the content of the annotation file of the copies.

    Args:
        content: Content of the annotation file of the images.
        paths: Image files, (N,).
        folder: Folder of the copies.
        split: Name of the split.
        settings: Size.

    Raises:
        UserError: An image cannot be read, or the pixels cannot be written.
    """

    def size_of(number: int) -> tuple[int, int]:
        return copy_size(*image_size(paths[number]), settings.side)

    sizes = list(in_threads(size_of, len(paths), title=f"sizes of {split} images"))
    starts = [0, *accumulate(height * width * CHANNELS for height, width in sizes)]
    file = folder / f"{split}.pixels"
    with translating(file, "packed images"):
        _write(paths, sizes, file=file, starts=starts, side=settings.side)
    entries = [
        {**entry, "fpath": os.path.abspath(path), "offset": start, "im_height": height, "im_width": width}
        for entry, path, start, (height, width) in zip(content["annotations"], paths, starts, sizes, strict=False)
    ]
    return {**content, "pixels": file.name, "annotations": entries}


def _write(
    paths: Sequence[str], sizes: Sequence[tuple[int, int]], *, file: Path, starts: Sequence[int], side: int
) -> None:
    """Write the images that are missing or damaged."""
    checks = _checksums(file.with_suffix(".crc32"), len(paths))
    with open(file, "ab") as grown:
        grown.truncate(starts[-1])

    def one(number: int) -> None:
        start, size = starts[number], starts[number + 1] - starts[number]
        if checks[number] != ABSENT and zlib.crc32(_read(file, start, size)) == checks[number]:
            return
        pixels = np.asarray(copy_of(paths[number], side))
        if pixels.shape[:2] != sizes[number]:
            raise UserError(f"the size of {paths[number]} differs from its header")
        with open(file, "r+b") as opened:
            opened.seek(start)
            opened.write(pixels.tobytes())
        checksum = zlib.crc32(pixels.tobytes())
        if zlib.crc32(_read(file, start, size)) != checksum:
            raise UserError(f"the copy of {paths[number]} cannot be read back from {file}")
        checks[number] = checksum

    for _ in in_threads(one, len(paths), title=f"{file.stem} images"):
        pass
    with open(file, "rb") as written:
        os.fsync(written.fileno())
    checks.flush()


def _checksums(file: Path, number: int) -> "np.memmap[Any, np.dtype[np.int64]]":
    """Open the file of checksums, and create it unless it has one for each image."""
    if not file.exists() or file.stat().st_size != 8 * number:
        np.full(number, ABSENT, np.int64).tofile(file)
    return np.memmap(file, np.int64, "r+")


def _read(file: Path, start: int, size: int) -> bytes:
    with open(file, "rb") as opened:
        opened.seek(start)
        return opened.read(size)
