"""Decoding of opened images to RGB pixels by the rules of OpenCV's imread, which the released systems use.

The EXIF orientation is applied. Transparency is dropped and the color under it kept. 16-bit channels keep their upper
8 bits. Gray images get three equal channels. Palette and CMYK images are converted to RGB.
"""

from typing import Any

import numpy as np
from PIL import ExifTags, Image

# EXIF orientation -> transposition that makes the image upright.
TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SWAPPED = (5, 6, 7, 8)  # orientations that swap height and width


def rgb_pixels(image: Image.Image) -> np.ndarray:
    """Return the upright pixels of an opened image, (H, W, 3) uint8.

    Raises:
        ValueError: The image has more than 16 bits per channel, or a color space that Pillow cannot convert.
        OSError: The image data is damaged.
    """
    # Read the orientation before the data, as `upright_size` does: a block after the data is ignored by both.
    transposition = TRANSPOSITIONS.get(orientation(image))
    image.load()
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have 32 bits (mode {image.mode}); allowed: 8 or 16 bits per channel")
    image.info.pop("transparency", None)  # otherwise Pillow warns about palettes with several transparent colors
    if image.mode != "RGB":
        image = image.convert("RGB")
    return np.array(image.transpose(transposition) if transposition is not None else image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the height and width of the result of `rgb_pixels`, without decoding the image."""
    width, height = image.size
    return (width, height) if orientation(image) in SWAPPED else (height, width)


def orientation(image: Image.Image) -> Any:
    """Return the EXIF orientation: 1 is upright, valid values are 1 to 8.

    TIFF images return 1, because Pillow applies their orientation itself.
    """
    if "exif" not in image.info:
        return 1
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises various exceptions for a damaged EXIF block; the pixels may still be readable
        return 1
