"""Decoding of JPEG files with simplejpeg; other formats, and files that simplejpeg refuses, are read by Pillow.

The pixels are equal: both decode with libjpeg-turbo, but simplejpeg writes directly into an array. It decodes whole
images: no Python package that was examined decodes only the region of a crop into an array.
"""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from longtail.data.images.decoding import TRANSPOSITIONS, orientation
from longtail.data.images.reading import read_image
from longtail.errors import UserError
from longtail.user_files import read_bytes

try:
    import simplejpeg as _simplejpeg
except ImportError:  # only DATASET.LOADER fast needs it
    _simplejpeg = None
simplejpeg: Any = _simplejpeg

JPEG = b"\xff\xd8"
EXIF = b"Exif\0\0"
APP1, START_OF_SCAN = b"\xe1", b"\xda"


class FastDecoder:
    """Decodes image files to (3, H, W) uint8, JPEG files with simplejpeg.

    Attributes:
        refused: JPEG files that simplejpeg could not decode since the last `take_refused`; Pillow has read them.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []

    def __call__(self, path: str | Path, content: bytes | None = None) -> Tensor:
        """Decode one image file; see `reading.read_image`, also for its errors."""
        try:
            data = read_bytes(path, "image") if content is None else content
        except UserError:
            return read_image(path)  # raises the error with Pillow's message
        if not data.startswith(JPEG):
            return read_image(path, data)
        pixels = _decode(data)
        if pixels is None:
            self.refused.append(str(path))
            return read_image(path, data)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def take_refused(self) -> list[str]:
        """Return the refused files and clear the list."""
        refused, self.refused = self.refused, []
        return refused


def check_packages() -> None:
    """Check that the packages of DATASET.LOADER fast are installed.

    Raises:
        UserError: One is missing.
    """
    try:
        import cv2  # noqa: F401
        import simplejpeg  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"DATASET.LOADER fast needs simplejpeg and OpenCV ({error}): pip install simplejpeg "
            "opencv-python-headless; DATASET.LOADER pillow needs neither"
        ) from None


def _decode(data: bytes) -> np.ndarray | None:
    """Return the upright pixels of a JPEG file, (H, W, 3) uint8; None if Pillow must read it."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        # CMYK is converted by other rules, and the limit against decompression bombs is Pillow's.
        if space in ("CMYK", "YCCK") or height * width > (Image.MAX_IMAGE_PIXELS or math.inf):
            return None
        pixels: np.ndarray = simplejpeg.decode_jpeg(data)
    except (ValueError, TypeError, MemoryError, RuntimeError):
        return None
    transposition = TRANSPOSITIONS.get(_orientation(data))
    return pixels if transposition is None else np.array(Image.fromarray(pixels).transpose(transposition))


def _orientation(data: bytes) -> int:
    if not _has_exif(data):
        return 1
    with Image.open(io.BytesIO(data)) as image:  # reads the header only
        value: int = orientation(image)
        return value


def _has_exif(data: bytes) -> bool:
    """Return whether an EXIF block may precede the pixels, going from marker to marker: most files have none."""
    position = 2
    while data[position : position + 1] == b"\xff":
        marker = data[position + 1 : position + 2]
        if marker == START_OF_SCAN:
            return False
        if marker == APP1 and data.startswith(EXIF, position + 4):
            return True
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return EXIF in data  # bytes between the blocks
