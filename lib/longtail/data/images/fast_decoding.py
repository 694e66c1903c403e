"""Decoding of JPEG files with simplejpeg; other formats, and files that simplejpeg refuses, are read by Pillow."""

from pathlib import Path

import torch
from torch import Tensor

from longtail.data.images.jpeg import JPEG, decode_jpeg
from longtail.data.images.reading import read_image
from longtail.errors import UserError
from longtail.user_files import read_bytes


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
        pixels = decode_jpeg(data)
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
