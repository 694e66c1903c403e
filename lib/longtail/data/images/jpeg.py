"""Decoding of JPEG files with simplejpeg, where it is installed.

The pixels equal Pillow's: both decode with libjpeg-turbo, but simplejpeg writes directly into an array. It decodes
whole images: no Python package that was examined decodes only the region of a crop into an array.
"""

import io
import math
from typing import Any

import numpy as np
from PIL import Image

from longtail.data.images.decoding import TRANSPOSITIONS, orientation

try:
    import simplejpeg as _simplejpeg
except ImportError:  # only DATASET.LOADER fast needs it
    _simplejpeg = None
simplejpeg: Any = _simplejpeg

JPEG = b"\xff\xd8"
EXIF = b"Exif\0\0"
APP1, START_OF_SCAN = b"\xe1", b"\xda"


def decode_jpeg(data: bytes) -> np.ndarray | None:
    """Return the upright pixels of a JPEG file, (H, W, 3) uint8; None if Pillow must read the file."""
    if simplejpeg is None or not data.startswith(JPEG):
        return None
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
