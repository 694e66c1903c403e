"""Writing the images of a converted data set."""

import os

import numpy as np
from PIL import Image

from longtail.data.images.reading import read_pixels
from longtail.errors import UserError


def write_image(image: np.ndarray, path: str | os.PathLike[str]) -> bool:
    """Write an image as PNG atomically, unless the file already holds the same pixels.

    Args:
        image: Pixels, (H, W, 3) uint8.
        path: File.

    Returns:
        Whether a file with another content was replaced.

    Raises:
        OSError: It cannot be written.
    """
    existed = os.path.lexists(path)
    if existed and _holds(path, image):
        return False
    temporary = f"{os.fspath(path)}.tmp"
    Image.fromarray(image).save(temporary, "PNG")
    os.replace(temporary, path)
    return existed


def _holds(path: str | os.PathLike[str], image: np.ndarray) -> bool:
    """Return whether a file holds these pixels."""
    try:
        return np.array_equal(read_pixels(os.fspath(path)), image)
    except UserError:
        return False
