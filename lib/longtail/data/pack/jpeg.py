"""Packing as JPEG files: FOLDER/train/00000/000.jpg, written to a temporary file, read back, and then renamed."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from longtail.data.images.reading import read_pixels
from longtail.data.pack.settings import Settings
from longtail.data.pack.work import copy_of, in_threads
from longtail.errors import UserError
from longtail.files import atomic_write
from longtail.user_files import translating

PER_FOLDER = 1000  # files per folder; some file systems are slow with more


def pack_jpeg(
    content: Mapping[str, Any], paths: Sequence[str], *, folder: Path, split: str, settings: Settings
) -> dict[str, Any]:
    """Pack the images of one split; return the content of the annotation file of the copies.

    Args:
        content: Content of the annotation file of the images.
        paths: Image files, (N,).
        folder: Folder of the copies.
        split: Name of the split.
        settings: Size and quality.

    Raises:
        UserError: An image cannot be read, or a copy cannot be written.
    """
    names = [f"{split}/{number // PER_FOLDER:05d}/{number % PER_FOLDER:03d}.jpg" for number in range(len(paths))]
    for name in dict.fromkeys(name.rsplit("/", 1)[0] for name in names):
        (folder / name).mkdir(parents=True, exist_ok=True)

    def one(number: int) -> tuple[int, int]:
        return pack_image(paths[number], folder / names[number], settings)

    sizes = list(in_threads(one, len(paths), title=f"{split} images"))
    entries = [
        {**entry, "fpath": name, "im_height": height, "im_width": width}
        for entry, name, (height, width) in zip(content["annotations"], names, sizes, strict=True)
    ]
    return {**content, "annotations": entries}


def pack_image(source: str | Path, target: Path, settings: Settings) -> tuple[int, int]:
    """Write the copy of one image unless it is there, and return its height and width.

    Raises:
        UserError: The image cannot be read, or the copy cannot be written.
    """
    if target.exists():
        try:
            height, width, _ = read_pixels(target).shape  # decodes completely: a power failure may have truncated it
            return height, width
        except UserError:
            target.unlink()
    image, buffer = copy_of(source, settings.side), io.BytesIO()
    image.save(buffer, "JPEG", quality=settings.quality)
    encoded, size = buffer.getvalue(), (image.height, image.width)
    if read_pixels(target, encoded).shape[:2] != size:
        raise UserError(f"the copy of {source} cannot be read back")
    with translating(target, "image"), atomic_write(target) as file:
        file.write(encoded)
    return size
