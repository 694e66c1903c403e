"""The position of a view in its image, and resampling of a map of the view to the pixels of the image."""

from typing import NamedTuple

import torch
from torch import Tensor

from longtail.data.augment.steps import Chain, Policy
from longtail.data.augment.transforms import CenterCrop, ResizeShorter, ResizeTo
from longtail.errors import UserError


class Axis(NamedTuple):
    """One axis of a view: a point v pixels from its edge is scale * v + offset pixels from the edge of the image.

    Attributes:
        length: Length of the view in pixels.
        scale: Pixels of the image per pixel of the view.
        offset: Offset of the view in pixels of the image.
    """

    length: int
    scale: float = 1.0
    offset: float = 0.0

    def resized(self, length: int) -> "Axis":
        """Return the axis after resizing to `length` pixels."""
        return Axis(length, self.scale * self.length / length, self.offset)

    def cropped(self, start: int, length: int) -> "Axis":
        """Return the axis after cropping `length` pixels from `start`."""
        return Axis(length, self.scale, self.offset + self.scale * start)


def view_axes(policy: Policy, *, rows: Axis, columns: Axis) -> tuple[Axis, Axis]:
    """Return the vertical and horizontal axis of the view that a deterministic policy returns.

    Args:
        policy: Policy of resizing and center cropping.
        rows: Vertical axis of the image.
        columns: Horizontal axis of the image.

    Raises:
        UserError: The policy contains another step.
    """
    if isinstance(policy, Chain):
        for step in policy.steps:
            rows, columns = view_axes(step, rows=rows, columns=columns)
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
    raise UserError(f"{type(policy).__name__} does not have a known position in its image; allowed: {allowed}")


def map_to_image(view_map: Tensor, *, rows: Axis, columns: Axis, size: tuple[int, int]) -> Tensor:
    """Resample a map of a view to its image, bilinearly; outside the view, the nearest value is used.

    Args:
        view_map: Map that covers the view, (h, w), of any resolution.
        rows: Vertical axis of the view.
        columns: Horizontal axis of the view.
        size: Height and width of the image.

    Returns:
        Map of the image, (*size).
    """
    row_weights = _weights(rows, view_map.shape[0], pixels=size[0])
    column_weights = _weights(columns, view_map.shape[1], pixels=size[1])
    return row_weights @ view_map @ column_weights.T


def _weights(axis: Axis, cells: int, *, pixels: int) -> Tensor:
    """Return the weight of each cell of the view at each pixel of the image, (pixels, cells)."""
    centers = (torch.arange(pixels) + 0.5 - axis.offset) / axis.scale
    positions = (centers * (cells / axis.length) - 0.5).clamp(0, cells - 1)
    return (1 - (positions[:, None] - torch.arange(cells)).abs()).clamp_min(0)
