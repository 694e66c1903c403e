"""Where a view lies in its image, and what was seen in the view brought back to the image's pixels."""

from typing import NamedTuple

import torch
from torch import Tensor

from longtail.data.augment.steps import Chain, Policy
from longtail.data.augment.transforms import CenterCrop, ResizeShorter, ResizeTo
from longtail.errors import UserError


class Axis(NamedTuple):
    """One axis of a view: the point at v pixels from its edge is scale * v + offset pixels from the image's edge.

    Attributes:
        length: of the view in pixels.
        scale: pixels of the image per pixel of the view.
        offset: pixels of the image.
    """

    length: int
    scale: float = 1.0
    offset: float = 0.0

    def resized(self, length: int) -> "Axis":
        """Return the axis after resizing to `length`."""
        return Axis(length, self.scale * self.length / length, self.offset)

    def cropped(self, start: int, length: int) -> "Axis":
        """Return the axis of the piece of `length` that begins at `start`."""
        return Axis(length, self.scale, self.offset + self.scale * start)


def place(policy: Policy, rows: Axis, columns: Axis) -> tuple[Axis, Axis]:
    """Return rows and columns of the view that a policy without random numbers makes of an image.

    Args:
        policy: of resizing and central cropping.
        rows: of the image.
        columns: of the image.

    Raises:
        UserError: a step is of another kind.
    """
    if isinstance(policy, Chain):
        for step in policy.steps:
            rows, columns = place(step, rows, columns)
        return rows, columns
    if isinstance(policy, ResizeTo):
        return rows.resized(policy.size[0]), columns.resized(policy.size[1])
    if isinstance(policy, ResizeShorter):
        height, width = policy.size_of(rows.length, columns.length)
        return rows.resized(height), columns.resized(width)
    if isinstance(policy, CenterCrop):
        top, left = policy.corner(rows.length, columns.length)
        return rows.cropped(top, policy.size[0]), columns.cropped(left, policy.size[1])
    allowed = "normal_resize, shorter_resize_for_crop, center_crop"
    raise UserError(f"a view of {type(policy).__name__} cannot be found in its image; allowed: {allowed}")


def bring_back(seen: Tensor, rows: Axis, columns: Axis, size: tuple[int, int]) -> Tensor:
    """Return a map of a view as a map of its image, bilinear; outside of the view the nearest value holds.

    Args:
        seen: (h, w), of any resolution, that covers the view.
        rows: of the view.
        columns: of the view.
        size: height and width of the image.

    Returns:
        (*size).
    """
    return _weights(rows, seen.shape[0], size[0]) @ seen @ _weights(columns, seen.shape[1], size[1]).T


def _weights(axis: Axis, cells: int, pixels: int) -> Tensor:
    """Return how much each of the cells over a view counts at each pixel of the image, (pixels, cells)."""
    middles = (torch.arange(pixels) + 0.5 - axis.offset) / axis.scale
    where = (middles * (cells / axis.length) - 0.5).clamp(0, cells - 1)
    return (1 - (where[:, None] - torch.arange(cells)).abs()).clamp_min(0)
