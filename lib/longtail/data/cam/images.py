"""Images of CAM-based sampling: the foreground of an image, transformed and pasted onto the image itself.

Zhang et al., "Bag of Tricks for Long-Tailed Visual Recognition", AAAI 2021. The foreground is where the class
activation map (Zhou et al., arXiv 1512.04150) of the image's own class reaches 0.75 times its mean. It is rotated and
scaled, translated, or flipped, and pasted onto the original image; the original object stays visible where it is not
covered. A foreground that touches all four edges, as is common, cannot be translated and is rotated instead; otherwise
the result would be a copy of the original.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

THRESHOLD = 0.75  # fraction of the mean of the map


class Transform(NamedTuple):
    """The transform of a foreground. Each operation uses some of the numbers.

    Attributes:
        operation: A name in `OPERATIONS`.
        angle: Rotation angle in degrees, counter-clockwise.
        scale: Scale factor of the rotation.
        down: Vertical position of the translated box, in [0, 1): 0 is the upper edge, almost 1 the lower edge.
        right: Horizontal position of the translated box, in [0, 1): 0 is the left edge, almost 1 the right edge.
    """

    operation: str
    angle: int = 0
    scale: float = 1.0
    down: float = 0.0
    right: float = 0.0


class Box(NamedTuple):
    """First and last row and column of a foreground, inclusive."""

    top: int
    bottom: int
    left: int
    right: int


def paste_foreground(image: Tensor, cam: Tensor, *, transform: Transform, released: bool = False) -> Tensor:
    """Return an image with its transformed foreground pasted onto it.

    Args:
        image: Original image, (3, H, W) uint8.
        cam: Class activation map of the image, (H, W), not negative.
        transform: Transform of the foreground.
        released: Compose as the released code does: use its box (see `bounding_box`), show the transformed image also
            where the foreground was, and show the original where a channel of the transformed image is zero.

    Returns:
        The new image, (3, H, W) uint8.
    """
    pixels = image.permute(1, 2, 0).numpy()
    mask = foreground(cam.numpy())
    box = bounding_box(mask, released=released)
    fills_image = box == Box(0, mask.shape[0] - 1, 0, mask.shape[1] - 1)
    rotates = transform.operation == "translate" and fills_image and not released
    operation = OPERATIONS["rotate" if rotates else transform.operation]
    moved = operation(pixels, box, transform)
    moved_mask = operation(mask.astype(np.uint8) * 255, box, transform)
    if released:
        shown = ((moved_mask > 0) | mask)[..., None] & (moved > 0)
    else:
        shown = (moved_mask >= 128)[..., None]
    return torch.from_numpy(np.where(shown, moved, pixels)).permute(2, 0, 1).contiguous()


def foreground(cam: np.ndarray) -> np.ndarray:
    """Return the mask where a map (H, W) reaches the threshold, (H, W) bool; a constant map is all foreground."""
    return np.asarray(cam >= THRESHOLD * cam.mean())


def bounding_box(mask: np.ndarray, *, released: bool = False) -> Box:
    """Return the bounding box of a foreground.

    Args:
        mask: Foreground, (H, W) bool, not empty.
        released: Return the box of the released code, which ends at the second row and column of the foreground, or at
            -1 if there is only one: the upper left corner of the object.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if released:
        bottom, right = (int(filled[1]) if len(filled) > 1 else -1 for filled in (rows, columns))
    else:
        bottom, right = int(rows[-1]), int(columns[-1])
    return Box(int(rows[0]), bottom, int(columns[0]), right)


def center_of(box: Box) -> tuple[float, float]:
    """Return the center (x, y) of a box in pixels; pixel centers are whole numbers."""
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def rotate(pixels: np.ndarray, box: Box, transform: Transform) -> np.ndarray:
    """Rotate and scale about the center of the box, with bilinear interpolation; the outside is black.

    Args:
        pixels: Image or mask, (H, W) or (H, W, 3) uint8.
        box: Bounding box of the foreground.
        transform: Angle and scale.
    """
    x, y = (center + 0.5 for center in center_of(box))  # Pillow's origin is the corner of the first pixel
    cos = math.cos(math.radians(transform.angle)) / transform.scale
    sin = math.sin(math.radians(transform.angle)) / transform.scale
    # Pillow maps pixels of the result to the source, so this is the inverse of the rotation.
    inverse = (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)
    height, width = pixels.shape[:2]
    rotated = Image.fromarray(pixels).transform(
        (width, height), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR
    )
    return np.asarray(rotated)


def translate(pixels: np.ndarray, box: Box, transform: Transform) -> np.ndarray:
    """Translate by whole pixels such that the box stays inside the image; the outside is black."""
    height, width = pixels.shape[:2]
    down = -box.top + int(transform.down * (height - box.bottom + box.top))
    right = -box.left + int(transform.right * (width - box.right + box.left))
    rows, columns = np.arange(height) - down, np.arange(width) - right
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    moved = pixels[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
    return np.asarray(moved * (inside if pixels.ndim == 2 else inside[..., None]))


def flip(pixels: np.ndarray, box: Box, transform: Transform) -> np.ndarray:
    """Flip horizontally."""
    return np.flip(pixels, axis=1)


OPERATIONS: dict[str, Callable[[np.ndarray, Box, Transform], np.ndarray]] = {
    "rotate": rotate,
    "translate": translate,
    "flip": flip,
}
