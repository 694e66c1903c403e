"""Images whose pixels are stored in one file, as written by `longtail pack --format uint8`."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from longtail.data.images.bad_images import BadImage
from longtail.data.images.files import ImageFiles, file_size
from longtail.errors import UserError
from longtail.user_files import translating

CHANNELS = 3


class PackedPixels(NamedTuple):
    """Where the pixels of images are stored.

    Attributes:
        file: File of pixels, (H, W, 3) uint8 for each image.
        places: Offset in bytes, height and width of each image, (N, 3) int64.
    """

    file: str
    places: np.ndarray


def packed_pixels(content: dict[str, Any], annotation_file: str | Path) -> PackedPixels | None:
    """Return where the pixels of an annotation file are stored; None if it lists image files.

    Raises:
        UserError: An annotation has no offset or size, or its pixels are outside the file.
    """
    name = content.get("pixels")
    if name is None:
        return None
    file = os.path.join(Path(annotation_file).parent, str(name))
    keys = ("offset", "im_height", "im_width")
    places = [[entry.get(key) for key in keys] for entry in content["annotations"]]
    faulty = next((index for index, place in enumerate(places) if any(type(value) is not int for value in place)), None)
    if faulty is not None:
        raise UserError(f"annotation file {annotation_file}: annotation {faulty} needs whole numbers {', '.join(keys)}")
    table = np.array(places, np.int64).reshape(-1, len(keys))
    ends = table[:, 0] + table[:, 1] * table[:, 2] * CHANNELS
    size = file_size(file)
    if (table < (0, 1, 1)).any() or ends.max(initial=0) > size:
        raise UserError(
            f"packed images {file} have {size:,} bytes, and {annotation_file} lists images outside them; run the same "
            "longtail pack command again to complete them"
        )
    return PackedPixels(file, table)


class PackedFiles(ImageFiles):
    """Images whose pixels are mapped into memory: nothing is decoded, and only the pages of a crop are read.

    The processes of a machine share the pages, which the operating system caches while memory is free.

    Args:
        paths: The original files, (N,), for messages.
        pixels: Where the pixels are stored.
        labels: See `ImageFiles`.
        fast: See `ImageFiles`.
    """

    def __init__(
        self, paths: Sequence[str], pixels: PackedPixels, *, labels: Tensor | None = None, fast: bool = False
    ) -> None:
        super().__init__(paths, labels, fast=fast)
        self.pixels = pixels

    def __getitem__(self, index: int) -> Tensor:
        offset, height, width = self.pixels.places[index].tolist()
        block = self._mapped[offset : offset + height * width * CHANNELS]
        return torch.from_numpy(block.reshape(height, width, CHANNELS)).permute(2, 0, 1)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the mapping, which would be copied."""
        return {name: value for name, value in self.__dict__.items() if name != "_mapped"}

    @cached_property
    def _mapped(self) -> np.ndarray:
        # "c" (copy-on-write): PyTorch requires writable memory; the file never changes.
        with translating(self.pixels.file, "packed images", verb="read"):
            return np.asarray(np.memmap(self.pixels.file, np.uint8, "c"))

    def sizes(self) -> list[int]:
        """Return the number of bytes of each image."""
        places = self.pixels.places
        sizes: list[int] = (places[:, 1] * places[:, 2] * CHANNELS).tolist()
        return sizes

    def missing(self) -> list[BadImage]:
        """Return an empty list: the offsets were checked when the annotation file was read."""
        return []
