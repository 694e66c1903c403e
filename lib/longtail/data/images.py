"""From image files to uint8 tensors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from longtail.errors import UserError

SMALL_SIDE = 64  # pixels; sets whose images are no larger live in memory


def read_image(path: str | Path) -> Tensor:
    """Decode one image file: RGB, (3, H, W) uint8; grey, palette and alpha images are converted.

    Raises:
        UserError: the file is missing, truncated or no image.
    """
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except FileNotFoundError:
        raise UserError(f"image {path} does not exist") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"image {path} cannot be read: {_one_line(error)}") from None
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def image_size(path: str | Path) -> tuple[int, int]:
    """Return height and width of an image file, reading its header only.

    Raises:
        UserError: the file is missing or no image.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except FileNotFoundError:
        raise UserError(f"image {path} does not exist") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"image {path} cannot be read: {_one_line(error)}") from None


def read_images(paths: Sequence[str]) -> Tensor | None:
    """Decode files of one size into one tensor (N, 3, H, W) uint8; None where the sizes differ.

    Raises:
        UserError: a file is missing, truncated or no image.
    """
    height, width = image_size(paths[0])
    images = torch.empty(len(paths), 3, height, width, dtype=torch.uint8)
    for position, path in enumerate(paths):
        image = read_image(path)
        if image.shape[1:] != (height, width):
            return None
        images[position] = image
    return images


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
