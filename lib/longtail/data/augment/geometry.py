"""Geometric operations on whole batches, bit-identical to Pillow's.

Every function takes images (N, 3, H, W) uint8 and returns new images; the input is not modified. Parameters have one
value per image and may be on any device.
"""

import math

import torch
from torch import Tensor

from longtail.data.augment.batch import moved, per_image, to_pixels

_FIXED = 65536  # Pillow's nearest-neighbor affine transform uses fixed-point coordinates of 1/65536 pixel


def window(
    images: Tensor, *, tops: Tensor, lefts: Tensor, size: tuple[int, int], reach: tuple[int, int], fill: int = 0
) -> Tensor:
    """Crop one window from each image; pixels outside the image are filled.

    Args:
        images: Images, (N, 3, H, W) uint8.
        tops: First row of each window, (N,), integers; may be negative.
        lefts: First column of each window, (N,), integers; may be negative.
        size: Height and width of the windows in pixels.
        reach: Maximum number of rows and columns by which a window extends beyond its image on any side.
        fill: Value outside the image.

    Returns:
        Windows, (N, 3, *size) uint8.
    """
    count, channels, height, width = images.shape
    (rows, columns), (pad_rows, pad_columns) = size, reach
    padded_height, padded_width = height + 2 * pad_rows, width + 2 * pad_columns
    padded = images.new_full((count, channels, padded_height, padded_width), fill)
    padded[:, :, pad_rows : pad_rows + height, pad_columns : pad_columns + width] = images
    # Each row of a window is contiguous in memory, so one gather of overlapping rows crops all windows at once.
    runs = padded.as_strided((max(padded.numel() - columns + 1, 0), columns), (1, 1))
    device = images.device
    plane = torch.arange(count * channels, device=device).view(count, channels, 1) * padded_height
    top = plane + (moved(tops, images) + pad_rows).view(-1, 1, 1)
    corner = top * padded_width + (moved(lefts, images) + pad_columns).view(-1, 1, 1)
    starts = corner + torch.arange(rows, device=device) * padded_width
    return runs.index_select(0, starts.view(-1)).view(count, channels, rows, columns)


def flip(images: Tensor, chosen: Tensor, *, dim: int = -1) -> Tensor:
    """Flip the chosen images.

    Args:
        images: Images, (N, 3, H, W) uint8.
        chosen: Images to flip, (N,) bool.
        dim: -1 flips horizontally, -2 vertically.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    # Selecting with a bit mask is much faster than torch.where or an indexed copy.
    mask = per_image(chosen, images, dtype=torch.uint8) * 255
    return images.flip(dim).bitwise_xor_(images).bitwise_and_(mask).bitwise_xor_(images)


def translate(images: Tensor, shifts: Tensor, *, dim: int, fill: int = 128) -> Tensor:
    """Translate each image, with nearest-neighbor sampling (Pillow's AFFINE with only an offset).

    Args:
        images: Images, (N, 3, H, W) uint8.
        shifts: Offset of the sampled position in pixels, (N,), may be fractional; positive moves the content left or
            up.
        dim: -1 translates horizontally, -2 vertically.
        fill: Value outside the image.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    height, width = images.shape[2:]
    side = images.shape[dim]
    # Pillow floors x + 0.5 + shift; x is an integer, so the image moves by whole pixels.
    steps = (shifts.double() + 0.5).floor().long().clamp(-side, side)
    reach = int(steps.abs().max()) if len(steps) else 0
    zeros = torch.zeros_like(steps)
    if dim == -1:
        return window(images, tops=zeros, lefts=steps, size=(height, width), reach=(0, reach), fill=fill)
    return window(images, tops=steps, lefts=zeros, size=(height, width), reach=(reach, 0), fill=fill)


def rotate(images: Tensor, angles: Tensor, *, fill: int = 128) -> Tensor:
    """Rotate each image counter-clockwise about its center, with nearest-neighbor sampling and unchanged size.

    Args:
        images: Images, (N, 3, H, W) uint8.
        angles: Angles in degrees, (N,).
        fill: Value outside the image.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    height, width = images.shape[2:]
    radians = -angles.double() * (math.pi / 180)
    cos = radians.cos().round(decimals=15)
    sin = radians.sin().round(decimals=15)
    x_offset = (cos * (-width / 2) + sin * (-height / 2)) + width / 2
    y_offset = (-sin * (-width / 2) + cos * (-height / 2)) + height / 2
    fixed = torch.stack((cos, sin, x_offset + cos * 0.5 + sin * 0.5, -sin, cos, y_offset + -sin * 0.5 + cos * 0.5), 1)
    fixed = moved((fixed * _FIXED + 0.5).floor().long(), images)
    a, b, c, d, e, f = fixed.view(-1, 6, 1, 1).unbind(1)
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device)[:, None]
    columns = (a * x + b * y + c) >> 16
    rows = (d * x + e * y + f) >> 16
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    source = rows.clamp_(0, height - 1) * width + columns.clamp_(0, width - 1)
    return _fill_outside(_pick(images, source), inside, fill=fill)


def shear(images: Tensor, slopes: Tensor, *, dim: int, fill: int = 128) -> Tensor:
    """Shear each image, with Pillow's bicubic interpolation (a = -1).

    Args:
        images: Images, (N, 3, H, W) uint8.
        slopes: Slopes in pixels per pixel, (N,); positive moves the content of later rows left, of later columns up.
        dim: -1 shifts rows along x, -2 shifts columns along y.
        fill: Value outside the image.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device)[:, None]
    along, across, side, stride = (x, y, width, 1) if dim == -1 else (y, x, height, width)
    position = moved(slopes.double(), images).view(-1, 1, 1) * (across + 0.5) + (along + 0.5)
    inside = (position >= 0) & (position < side)
    position.sub_(0.5)
    whole = position.floor()
    fraction = position.sub_(whole)[:, None]
    first = whole.long() - 1
    v1, v2, v3, v4 = (
        _pick(images, (first + tap).clamp_(0, side - 1) * stride + across * (width if dim == -1 else 1)).double()
        for tap in range(4)
    )
    # Float64 and this order of operations, as in Pillow: the result is truncated, so the last bit can matter.
    value = v2 - v1 + v4 - v3
    value.mul_(fraction).add_(2 * (v1 - v2) + v3 - v4)
    value.mul_(fraction).add_(v3 - v1)
    value.mul_(fraction).add_(v2)
    return _fill_outside(to_pixels(value), inside, fill=fill)


def cutout(images: Tensor, *, rows: Tensor, columns: Tensor, length: int) -> Tensor:
    """Set one square per image to black, clipped at the border (DeVries and Taylor, arXiv 1708.04552).

    Args:
        images: Images, (N, 3, H, W) uint8.
        rows: Row of each center, (N,), integers.
        columns: Column of each center, (N,), integers.
        length: Side of the square in pixels, even; it covers center - length/2 to center + length/2 - 1.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    half = length // 2
    y = torch.arange(images.shape[2], device=images.device) - moved(rows, images)[:, None]
    x = torch.arange(images.shape[3], device=images.device) - moved(columns, images)[:, None]
    hole = ((y >= -half) & (y < half))[:, None, :, None] & ((x >= -half) & (x < half))[:, None, None, :]
    return images * ~hole


def _pick(images: Tensor, source: Tensor) -> Tensor:
    """Return the pixels of images (N, 3, H, W) at the flat indices `source` (N, H, W)."""
    indices = source.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, indices).view(images.shape)


def _fill_outside(images: Tensor, inside: Tensor, *, fill: int) -> Tensor:
    """Set pixels to `fill` where `inside` (N, H, W) is false."""
    keep = inside[:, None].to(torch.uint8)
    return images * keep + (1 - keep) * fill
