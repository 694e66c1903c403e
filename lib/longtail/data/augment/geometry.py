"""Operations that move pixels, on whole batches, equal to Pillow's bit for bit.

Every function takes uint8 images (N, 3, H, W), leaves them alone and returns new ones; parameters hold one
number per image, on any device.
"""

import math

import torch
from torch import Tensor

from longtail.data.augment.batch import per_image, to_pixels

_FIXED = 65536  # Pillow's nearest-neighbour affine transform counts in 1/65536 of a pixel


def window(
    images: Tensor, tops: Tensor, lefts: Tensor, size: tuple[int, int], reach: tuple[int, int], fill: int = 0
) -> Tensor:
    """Cut one window out of each image; what lies outside the image is filled.

    Args:
        images: uint8 (N, 3, H, W).
        tops: (N,) whole numbers, the first row of each window; may be negative.
        lefts: (N,) whole numbers, the first column.
        size: height and width of the windows in pixels.
        reach: how many rows and columns at most a window sticks out of its image on any side.
        fill: value outside the image.

    Returns:
        uint8 (N, 3, *size).
    """
    count, channels, height, width = images.shape
    (rows, columns), (above, beside) = size, reach
    tall, wide = height + 2 * above, width + 2 * beside
    padded = images.new_full((count, channels, tall, wide), fill)
    padded[:, :, above : above + height, beside : beside + width] = images
    # Each row of a window is a run of memory, so one gather of overlapping runs cuts all windows at once.
    runs = padded.as_strided((max(padded.numel() - columns + 1, 0), columns), (1, 1))
    device = images.device
    plane = torch.arange(count * channels, device=device).view(count, channels, 1) * tall
    corner = (plane + (tops.to(device) + above).view(-1, 1, 1)) * wide + (lefts.to(device) + beside).view(-1, 1, 1)
    starts = corner + torch.arange(rows, device=device) * wide
    return runs.index_select(0, starts.view(-1)).view(count, channels, rows, columns)


def flip(images: Tensor, chosen: Tensor, dim: int = -1) -> Tensor:
    """Mirror the chosen images.

    Args:
        images: uint8 (N, 3, H, W).
        chosen: bool (N,).
        dim: -1 swaps left and right, -2 swaps top and bottom.

    Returns:
        uint8 (N, 3, H, W).
    """
    # Selecting by bits costs a fraction of torch.where or an indexed copy.
    mask = per_image(chosen, images, torch.uint8) * 255
    return images.flip(dim).bitwise_xor_(images).bitwise_and_(mask).bitwise_xor_(images)


def translate(images: Tensor, shifts: Tensor, dim: int, fill: int = 128) -> Tensor:
    """Sample each image `shifts` pixels further on, nearest neighbour (Pillow's AFFINE with only an offset).

    Args:
        images: uint8 (N, 3, H, W).
        shifts: (N,) in pixels, fractions allowed; positive moves the content left or up.
        dim: -1 moves along the rows, -2 along the columns.
        fill: value where the source lies outside.

    Returns:
        uint8 (N, 3, H, W).
    """
    height, width = images.shape[2:]
    side = images.shape[dim]
    # Pillow floors x + 0.5 + shift; x is whole, so the image moves by a whole number of pixels.
    steps = (shifts.double() + 0.5).floor().long().clamp(-side, side)
    reach = int(steps.abs().max()) if len(steps) else 0
    none = torch.zeros_like(steps)
    if dim == -1:
        return window(images, none, steps, (height, width), (0, reach), fill)
    return window(images, steps, none, (height, width), (reach, 0), fill)


def rotate(images: Tensor, angles: Tensor, fill: int = 128) -> Tensor:
    """Turn each image counter-clockwise about its centre, nearest neighbour, at unchanged size.

    Args:
        images: uint8 (N, 3, H, W).
        angles: (N,) in degrees.
        fill: value of the corners that come in from outside.

    Returns:
        uint8 (N, 3, H, W).
    """
    height, width = images.shape[2:]
    radians = -angles.double() * (math.pi / 180)
    cos = radians.cos().round(decimals=15)
    sin = radians.sin().round(decimals=15)
    x_offset = (cos * (-width / 2) + sin * (-height / 2)) + width / 2
    y_offset = (-sin * (-width / 2) + cos * (-height / 2)) + height / 2
    fixed = torch.stack((cos, sin, x_offset + cos * 0.5 + sin * 0.5, -sin, cos, y_offset + -sin * 0.5 + cos * 0.5), 1)
    fixed = (fixed * _FIXED + 0.5).floor().long().to(images.device)
    a, b, c, d, e, f = fixed.view(-1, 6, 1, 1).unbind(1)
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device)[:, None]
    columns = (a * x + b * y + c) >> 16
    rows = (d * x + e * y + f) >> 16
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    source = rows.clamp_(0, height - 1) * width + columns.clamp_(0, width - 1)
    return _fill_outside(_pick(images, source), inside, fill)


def shear(images: Tensor, slopes: Tensor, dim: int, fill: int = 128) -> Tensor:
    """Slide each row (or column) in proportion to its place, with Pillow's bicubic interpolation (a = -1).

    Args:
        images: uint8 (N, 3, H, W).
        slopes: (N,) in pixels per pixel; positive moves the content of later rows left, of later columns up.
        dim: -1 slides rows along x, -2 slides columns along y.
        fill: value where the source lies outside.

    Returns:
        uint8 (N, 3, H, W).
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device)[:, None]
    along, across, side, stride = (x, y, width, 1) if dim == -1 else (y, x, height, width)
    place = slopes.double().to(images.device).view(-1, 1, 1) * (across + 0.5) + (along + 0.5)
    inside = (place >= 0) & (place < side)
    place.sub_(0.5)
    whole = place.floor()
    fraction = place.sub_(whole)[:, None]
    first = whole.long() - 1
    v1, v2, v3, v4 = (
        _pick(images, (first + tap).clamp_(0, side - 1) * stride + across * (width if dim == -1 else 1)).double()
        for tap in range(4)
    )
    # Float64 and this nesting, as in Pillow: the result is cut off, so the last bit can decide a grey level.
    value = v2 - v1 + v4 - v3
    value.mul_(fraction).add_(2 * (v1 - v2) + v3 - v4)
    value.mul_(fraction).add_(v3 - v1)
    value.mul_(fraction).add_(v2)
    return _fill_outside(to_pixels(value), inside, fill)


def cutout(images: Tensor, rows: Tensor, columns: Tensor, length: int) -> Tensor:
    """Blacken a square around each centre, clipped at the border (arXiv 1708.04552).

    Args:
        images: uint8 (N, 3, H, W).
        rows: (N,) whole numbers, row of each centre.
        columns: (N,) whole numbers, column of each centre.
        length: side of the square in pixels, even; it covers centre - length/2 up to centre + length/2 - 1.

    Returns:
        uint8 (N, 3, H, W).
    """
    half = length // 2
    y = torch.arange(images.shape[2], device=images.device) - rows.to(images.device)[:, None]
    x = torch.arange(images.shape[3], device=images.device) - columns.to(images.device)[:, None]
    hole = ((y >= -half) & (y < half))[:, None, :, None] & ((x >= -half) & (x < half))[:, None, None, :]
    return images * ~hole


def _pick(images: Tensor, source: Tensor) -> Tensor:
    """Return the pixels at flat places `source` (N, H, W) of each (N, 3, H, W) image."""
    places = source.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, places).view(images.shape)


def _fill_outside(images: Tensor, inside: Tensor, fill: int) -> Tensor:
    """Put `fill` wherever `inside` (N, H, W) is false."""
    keep = inside[:, None].to(torch.uint8)
    return images * keep + (1 - keep) * fill
