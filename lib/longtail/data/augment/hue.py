"""Torchvision's hue shift of PIL images, through Pillow's integer HSV, on whole batches."""

import torch
from torch import Tensor

from longtail.data.augment.batch import moved, per_image

_BLOCK = 64  # images per iteration; the float copies of small images then fit the cache of a core


def shift_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Shift the hue of each image.

    Args:
        images: Images, (N, 3, H, W) uint8.
        shifts: Shifts as a fraction of the color circle, (N,), in -0.5..0.5.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    # Truncated towards zero and wrapped to 0..255, as in torchvision.
    steps = per_image((shifts.double() * 255).trunc(), images, dtype=torch.int32)[:, 0]
    result = torch.empty_like(images)
    for start in range(0, len(images), _BLOCK):
        part = slice(start, start + _BLOCK)
        hue, saturation, value = _to_hsv(images[part])
        result[part] = _to_rgb((hue + steps[part]) & 255, saturation, value)
    return result


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return Pillow's hue, saturation and value, each (N, H, W) int32 in 0..255."""
    pixels = images.float()
    red, green, blue = pixels.unbind(1)
    high, low = pixels.amax(1), pixels.amin(1)
    span = high - low
    # One float division per channel, as in Pillow; a gray pixel has no hue or saturation, so its divisor is arbitrary.
    divisor = torch.where(span > 0, span, 1.0)
    to_red, to_green, to_blue = (high - red) / divisor, (high - green) / divisor, (high - blue) / divisor
    on_red, on_green = red == high, green == high
    sector = torch.where(
        on_red,
        (to_blue - to_green).double(),
        torch.where(on_green, 2.0 + to_red.double() - to_blue.double(), 4.0 + to_green.double() - to_red.double()),
    ).float()
    turns = (sector.double() / 6.0 + 1.0).fmod(1.0).float()
    hue = (turns.double() * 255.0).to(torch.int32)
    saturation = ((span / high.clamp(min=1)).double() * 255.0).to(torch.int32)
    gray = span == 0
    return hue.masked_fill(gray, 0), saturation.masked_fill(gray, 0), high.to(torch.int32)


def _to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Return Pillow's RGB, (N, 3, H, W) uint8."""
    position = (hue.float() * 6.0).double() / 255.0
    sector = position.floor()
    fraction = (position - sector).float().double()
    strength = (saturation.double() / 255.0).float().double()
    full = value.double()
    # Round half up, which equals C's round because all numbers are positive.
    falling = (full * (1.0 - strength * fraction) + 0.5).floor_()
    rising = (full * (1.0 - strength * (1.0 - fraction)) + 0.5).floor_()
    lowest = (full * (1.0 - strength) + 0.5).floor_()
    levels = torch.stack((full, rising, lowest, falling), 1).to(torch.int16).to(torch.uint8)
    # For each sixth of the circle: the index in (full, rising, lowest, falling) of red, green and blue.
    wheel = moved(torch.tensor([[0, 1, 2], [3, 0, 2], [2, 0, 1], [2, 3, 0], [1, 2, 0], [0, 2, 3]]), hue)
    return levels.gather(1, wheel[sector.long() % 6].permute(0, 3, 1, 2))
