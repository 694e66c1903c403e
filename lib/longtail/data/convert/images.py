"""Writing the images of a converted data set."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from longtail.data.images.reading import read_pixels
from longtail.errors import UserError


def write_image(image: np.ndarray, path: str | os.PathLike[str], *, quality: int | None = None) -> bool:
    """Write an image atomically, unless the file already holds the same pixels.

    Args:
        image: Pixels, (H, W, 3) uint8.
        path: File.
        quality: Write JPEG of this quality, with Pillow's other defaults; None: PNG.

    Returns:
        Whether a file with another content was replaced.

    Raises:
        OSError: It cannot be written.
    """
    existed = os.path.lexists(path)
    if existed and _holds(Path(path), image if quality is None else _jpeg(image, quality)):
        return False
    temporary = Path(f"{os.fspath(path)}.tmp")
    if quality is None:
        Image.fromarray(image).save(temporary, "PNG")
    else:
        temporary.write_bytes(_jpeg(image, quality))
    os.replace(temporary, path)
    return existed


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    """Return an image as JPEG."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _holds(path: Path, content: np.ndarray | bytes) -> bool:
    """Return whether a file holds these pixels or bytes."""
    try:
        if isinstance(content, bytes):
            return path.is_file() and path.read_bytes() == content
        return np.array_equal(read_pixels(str(path)), content)
    except UserError:
        return False
