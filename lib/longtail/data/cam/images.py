"""New images of CAM-based sampling: the object of an image, moved, over the image itself.

Zhang et al., "Bag of Tricks for Long-Tailed Visual Recognition", AAAI 2021. Where the class activation map (Zhou et
al., arXiv 1512.04150) of the image's own class reaches three quarters of its mean is foreground; it is turned and
scaled, shifted or mirrored, and pasted over the original, whose own object stays where it is not covered. A foreground
that reaches from edge to edge in both directions, as many do, cannot be shifted and is turned instead: a copy of the
original would teach nothing new.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

THRESHOLD = 0.75  # of the mean of the map


class Change(NamedTuple):
    """What is done to a foreground; which of the numbers are used, the operation says.

    Attributes:
        operation: a name in `OPERATIONS`.
        angle: in degrees, counter-clockwise.
        scale: factor.
        down: share, in [0, 1), of the way that the box can be shifted: 0 to the upper edge, almost 1 to the lower.
        right: likewise, from the left edge to the right.
    """

    operation: str
    angle: int = 0
    scale: float = 1.0
    down: float = 0.0
    right: float = 0.0


class Box(NamedTuple):
    """Rows and columns of a foreground, first and last, both within."""

    top: int
    bottom: int
    left: int
    right: int


def new_image(image: Tensor, cam: Tensor, change: Change, released: bool = False) -> Tensor:
    """Return an image with its foreground pasted once more.

    Args:
        image: (3, H, W) uint8.
        cam: class activation map of the image, (H, W), not negative.
        change: what is done to the foreground.
        released: as the release composes: its box (see `box_of`); the moved image also shows where the foreground was,
            and the original shines through every zero of a channel.

    Returns:
        (3, H, W) uint8.
    """
    pixels = image.permute(1, 2, 0).numpy()
    mask = foreground(cam.numpy())
    box = box_of(mask, released)
    fills = box == Box(0, mask.shape[0] - 1, 0, mask.shape[1] - 1)
    move = OPERATIONS["turn" if change.operation == "shift" and fills and not released else change.operation]
    moved = move(pixels, box, change)
    moved_mask = move(mask.astype(np.uint8) * 255, box, change)
    if released:
        shown = ((moved_mask > 0) | mask)[..., None] & (moved > 0)
    else:
        shown = (moved_mask >= 128)[..., None]
    return torch.from_numpy(np.where(shown, moved, pixels)).permute(2, 0, 1).contiguous()


def foreground(cam: np.ndarray) -> np.ndarray:
    """Return where a map (H, W) reaches the threshold, bool (H, W); all of a map that is the same everywhere."""
    return np.asarray(cam >= THRESHOLD * cam.mean())


def box_of(mask: np.ndarray, released: bool = False) -> Box:
    """Return the box around a foreground.

    Args:
        mask: (H, W) bool, somewhere true.
        released: end at the second row and column that are not empty, or at -1 where there is only one, as the release
            does: its box is the upper left corner of the object.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if released:
        last = [int(places[1]) if len(places) > 1 else -1 for places in (rows, columns)]
    else:
        last = [int(rows[-1]), int(columns[-1])]
    return Box(int(rows[0]), last[0], int(columns[0]), last[1])


def centre_of(box: Box) -> tuple[float, float]:
    """Return the middle of a box, (x, y) in pixels, pixel centres being whole."""
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def turn(pixels: np.ndarray, box: Box, change: Change) -> np.ndarray:
    """Rotate and scale about the middle of the box, bilinear; black comes in from outside.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.
        box: of the foreground.
        change: angle and scale.
    """
    x, y = (middle + 0.5 for middle in centre_of(box))  # Pillow counts from the edge of the first pixel
    cos = math.cos(math.radians(change.angle)) / change.scale
    sin = math.sin(math.radians(change.angle)) / change.scale
    # Pillow asks where each pixel of the result comes from: the inverse of the movement.
    source = (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)
    height, width = pixels.shape[:2]
    turned = Image.fromarray(pixels).transform(
        (width, height), Image.Transform.AFFINE, source, Image.Resampling.BILINEAR
    )
    return np.asarray(turned)


def shift(pixels: np.ndarray, box: Box, change: Change) -> np.ndarray:
    """Move by whole pixels so that the box stays within the image; black comes in from outside."""
    height, width = pixels.shape[:2]
    down = -box.top + int(change.down * (height - box.bottom + box.top))
    right = -box.left + int(change.right * (width - box.right + box.left))
    rows, columns = np.arange(height) - down, np.arange(width) - right
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    taken = pixels[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
    return taken * (inside if pixels.ndim == 2 else inside[..., None])


def mirror(pixels: np.ndarray, box: Box, change: Change) -> np.ndarray:
    """Swap left and right."""
    return pixels[:, ::-1]


OPERATIONS: dict[str, Callable[[np.ndarray, Box, Change], np.ndarray]] = {
    "turn": turn,
    "shift": shift,
    "mirror": mirror,
}
