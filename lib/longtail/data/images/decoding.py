"""From an opened image to RGB pixels, by the rules of OpenCV's imread, with which the releases read.

EXIF orientation is applied; transparency is dropped and the colour under it kept; of 16 bits the upper 8 count; grey
becomes three equal channels; palettes and CMYK become colours.
"""

from typing import Any

import numpy as np
from PIL import ExifTags, Image

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = (5, 6, 7, 8)  # orientations whose rows are columns


def rgb_pixels(image: Image.Image) -> np.ndarray:
    """Return the pixels of an opened image, upright, (H, W, 3) uint8.

    Raises:
        ValueError: the pixels have more than 16 bits per channel, or a colour space that Pillow cannot convert.
        OSError: the data are damaged.
    """
    turn = TURNS.get(orientation(image))  # before the data: what follows them was not known to `upright_size`
    image.load()
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have 32 bits (mode {image.mode}); allowed: 8 or 16 bits per channel")
    image.info.pop("transparency", None)  # else Pillow warns of palettes with several transparent colours
    if image.mode != "RGB":
        image = image.convert("RGB")
    return np.array(image.transpose(turn) if turn is not None else image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return height and width of what `rgb_pixels` will return."""
    width, height = image.size
    return (width, height) if orientation(image) in LYING else (height, width)


def orientation(image: Image.Image) -> Any:
    """Return the EXIF orientation, 1 to 8 where it is sensible; 1 is upright.

    TIFF files have none here: Pillow turns them itself.
    """
    if "exif" not in image.info:
        return 1
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises whatever a damaged block makes it stumble over; the pixels may be sound
        return 1
