"""Colour operations on whole batches, equal to Pillow's `ImageOps` and `ImageEnhance` bit for bit.

Every function takes uint8 RGB images (N, 3, H, W), leaves them alone and returns new ones of the same shape;
parameters hold one number per image, on any device.
"""

import torch
from torch import Tensor

from longtail.data.augment.batch import per_image, to_pixels


def invert(images: Tensor) -> Tensor:
    """Return the negative.

    Args:
        images: uint8 (N, 3, H, W).

    Returns:
        uint8 (N, 3, H, W).
    """
    return images ^ 255


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Invert the values that reach a threshold.

    Args:
        images: uint8 (N, 3, H, W).
        thresholds: (N,) in 0..256; 256 changes nothing.

    Returns:
        uint8 (N, 3, H, W).
    """
    reached = images.to(torch.int16) >= per_image(thresholds.ceil(), images, torch.int16)
    return images ^ (reached.to(torch.uint8) * 255)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest bits of every value.

    Args:
        images: uint8 (N, 3, H, W).
        bits: (N,) whole numbers in 1..8.

    Returns:
        uint8 (N, 3, H, W).
    """
    mask = 256 - 2 ** (8 - bits.to(torch.int64))
    return images & per_image(mask, images, torch.uint8)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch every channel of every image to 0..255.

    Args:
        images: uint8 (N, 3, H, W).

    Returns:
        uint8 (N, 3, H, W); a channel of one value stays as it is.
    """
    values = images.flatten(0, 1).flatten(1)
    low = values.amin(1, keepdim=True).double()
    high = values.amax(1, keepdim=True).double()
    ramp = torch.arange(256, device=images.device, dtype=torch.float64)
    # The float64 operations are Pillow's: where the exact result is whole, rounding decides. A plain number
    # divided by a tensor would be computed through the reciprocal, which rounds twice.
    scale = torch.full_like(low, 255.0) / (high - low)
    table = (ramp * scale).add_(-low * scale)
    return _look_up(images, to_pixels(torch.where(high > low, table, ramp)))


def equalize(images: Tensor) -> Tensor:
    """Flatten the histogram of every channel of every image.

    Args:
        images: uint8 (N, 3, H, W).

    Returns:
        uint8 (N, 3, H, W).
    """
    values = images.flatten(0, 1).flatten(1)
    rows, pixels = values.shape
    first_bin = torch.arange(0, rows * 256, 256, device=images.device, dtype=torch.int32)[:, None]
    histogram = torch.bincount((values + first_bin).view(-1), minlength=rows * 256).view(rows, 256)
    brightest = histogram.gather(1, values.amax(1, keepdim=True).long())
    step = (pixels - brightest) // 255
    below = histogram.cumsum(1) - histogram
    table = (below + step // 2) // step.clamp(min=1)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device)).clamp_(max=255)
    return _look_up(images, table.to(torch.uint8))


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with black.

    Args:
        images: uint8 (N, 3, H, W).
        factors: (N,); 0 gives black, 1 the image itself.

    Returns:
        uint8 (N, 3, H, W).
    """
    return to_pixels(images.float().mul_(per_image(factors, images, torch.float32)))


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the mean grey of each image.

    Args:
        images: uint8 (N, 3, H, W).
        factors: (N,); 0 gives plain grey, 1 the image itself.

    Returns:
        uint8 (N, 3, H, W).
    """
    pixels = images.float()
    count = images.shape[2] * images.shape[3]
    # Whole numbers: round(mean), halves up.
    total = _luma(pixels).to(torch.int64).sum((1, 2, 3))
    mean = (2 * total + count) // (2 * count)
    return _blend(per_image(mean, images, torch.float32), pixels, factors)


def color(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the grey version of each image (saturation).

    Args:
        images: uint8 (N, 3, H, W).
        factors: (N,); 0 gives grey, 1 the image itself.

    Returns:
        uint8 (N, 3, H, W).
    """
    pixels = images.float()
    return _blend(_luma(pixels), pixels, factors)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with a smoothed version of each image.

    Args:
        images: uint8 (N, 3, H, W).
        factors: (N,); 0 gives the smoothed image, 1 the image itself, 2 a sharpened one.

    Returns:
        uint8 (N, 3, H, W); images with a side below 3 pixels stay as they are, for the kernel does not fit.
    """
    if min(images.shape[2:]) < 3:
        return images.clone()
    pixels = images.float()
    rows = pixels[:, :, :-2] + pixels[:, :, 1:-1] + pixels[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    total.add_(pixels[:, :, 1:-1, 1:-1], alpha=4)
    # total is whole, so (total + 6.5) / 13 keeps clear of whole numbers and float32 floors it exactly.
    smooth = pixels.clone()
    smooth[:, :, 1:-1, 1:-1] = total.add_(6.5).mul_(1 / 13).floor_()
    return _blend(smooth, pixels, factors)


def grey(images: Tensor) -> Tensor:
    """Return ITU-R 601 luma in all three channels.

    Args:
        images: uint8 (N, 3, H, W).

    Returns:
        uint8 (N, 3, H, W).
    """
    return to_pixels(_luma(images.float())).expand_as(images).contiguous()


def _luma(pixels: Tensor) -> Tensor:
    """Return Pillow's whole-number luma, float32 (N, 1, H, W), of float32 (N, 3, H, W)."""
    # Pillow's 16-bit weights; every sum stays below 2**24, hence exact in float32.
    total = pixels[:, :1] * 19595.0
    total.add_(pixels[:, 1:2], alpha=38470.0).add_(pixels[:, 2:], alpha=7471.0)
    return total.add_(32768.0).mul_(1 / 65536).floor_()


def _blend(degenerate: Tensor, pixels: Tensor, factors: Tensor) -> Tensor:
    """Return `degenerate + factor * (pixels - degenerate)` in float32 like Pillow; changes `pixels`."""
    factor = per_image(factors, pixels, torch.float32)
    return to_pixels(pixels.sub_(degenerate).mul_(factor).add_(degenerate))


def _look_up(images: Tensor, table: Tensor) -> Tensor:
    """Send the values of each channel of each image through its row of a (N*3, 256) table."""
    values = images.flatten(0, 1).flatten(1)
    return table.gather(1, values.long()).view(images.shape)
