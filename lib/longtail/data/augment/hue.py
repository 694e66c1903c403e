"""Torchvision's hue shift of PIL images, through Pillow's whole-number HSV, on whole batches."""

import torch
from torch import Tensor

from longtail.data.augment.batch import per_image

_BLOCK = 64  # images per turn: the many float copies of small images then stay in a core's cache


def shift_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Turn the colour circle of each image.

    Args:
        images: uint8 (N, 3, H, W).
        shifts: (N,) in -0.5..0.5 of the circle.

    Returns:
        uint8 (N, 3, H, W).
    """
    # Cut off towards zero and wrapped into 0..255, which is how torchvision adds it.
    steps = per_image((shifts.double() * 255).trunc(), images, torch.int32)[:, 0]
    result = torch.empty_like(images)
    for start in range(0, len(images), _BLOCK):
        part = slice(start, start + _BLOCK)
        hue, saturation, value = _to_hsv(images[part])
        result[part] = _to_rgb((hue + steps[part]) & 255, saturation, value)
    return result


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return Pillow's hue, saturation and value, int32 (N, H, W) in 0..255."""
    pixels = images.float()
    red, green, blue = pixels.unbind(1)
    high, low = pixels.amax(1), pixels.amin(1)
    span = high - low
    # Pillow's floats, a division each; a grey pixel has no hue and no saturation, whatever it is divided by.
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
    grey = span == 0
    return hue.masked_fill(grey, 0), saturation.masked_fill(grey, 0), high.to(torch.int32)


def _to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Return Pillow's RGB, uint8 (N, 3, H, W)."""
    place = (hue.float() * 6.0).double() / 255.0
    sector = place.floor()
    fraction = (place - sector).float().double()
    strength = (saturation.double() / 255.0).float().double()
    full = value.double()
    # Halves away from zero, as C's round; all numbers are positive.
    falling = (full * (1.0 - strength * fraction) + 0.5).floor_()
    rising = (full * (1.0 - strength * (1.0 - fraction)) + 0.5).floor_()
    lowest = (full * (1.0 - strength) + 0.5).floor_()
    levels = torch.stack((full, rising, lowest, falling), 1).to(torch.int16).to(torch.uint8)
    # For each sixth of the circle: which of (full, rising, lowest, falling) red, green and blue take.
    wheel = torch.tensor(
        [[0, 1, 2], [3, 0, 2], [2, 0, 1], [2, 3, 0], [1, 2, 0], [0, 2, 3]],
        device=hue.device,
        dtype=torch.int64,
    )
    return levels.gather(1, wheel[sector.long() % 6].permute(0, 3, 1, 2))
