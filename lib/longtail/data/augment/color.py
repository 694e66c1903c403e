"""Color operations on whole batches, bit-identical to Pillow's `ImageOps` and `ImageEnhance`.

Every function takes RGB images (N, 3, H, W) uint8 and returns new images of the same shape; the input is not modified.
Parameters have one value per image and may be on any device.
"""

import torch
from torch import Tensor

from longtail.data.augment.batch import per_image, to_pixels


def invert(images: Tensor) -> Tensor:
    """Invert all values.

    Args:
        images: Images, (N, 3, H, W) uint8.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    return images ^ 255


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Invert the values that are at least a threshold.

    Args:
        images: Images, (N, 3, H, W) uint8.
        thresholds: Thresholds, (N,) in 0..256; 256 changes nothing.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    reached = images.to(torch.int16) >= per_image(thresholds.ceil(), images, dtype=torch.int16)
    return images ^ (reached.to(torch.uint8) * 255)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest bits of every value.

    Args:
        images: Images, (N, 3, H, W) uint8.
        bits: Number of bits, (N,), integers in 1..8.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    mask = 256 - 2 ** (8 - bits.to(torch.int64))
    return images & per_image(mask, images, dtype=torch.uint8)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch every channel of every image to 0..255.

    Args:
        images: Images, (N, 3, H, W) uint8.

    Returns:
        New images, (N, 3, H, W) uint8; a constant channel is unchanged.
    """
    values = images.flatten(0, 1).flatten(1)
    low = values.amin(1, keepdim=True).double()
    high = values.amax(1, keepdim=True).double()
    ramp = torch.arange(256, device=images.device, dtype=torch.float64)
    # The same float64 operations as in Pillow: where the exact result is an integer, rounding decides. A Python number
    # divided by a tensor would be computed with the reciprocal, which rounds twice.
    scale = torch.full_like(low, 255.0) / (high - low)
    table = (ramp * scale).add_(-low * scale)
    return _look_up(images, to_pixels(torch.where(high > low, table, ramp)))


def equalize(images: Tensor) -> Tensor:
    """Equalize the histogram of every channel of every image.

    Args:
        images: Images, (N, 3, H, W) uint8.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    values = images.flatten(0, 1).flatten(1)
    rows, pixels = values.shape
    first_bin = torch.arange(0, rows * 256, 256, device=images.device, dtype=torch.int32)[:, None]
    histogram = _counts((values + first_bin).view(-1), rows * 256).view(rows, 256)
    brightest = histogram.gather(1, values.amax(1, keepdim=True).long())
    step = (pixels - brightest) // 255
    below = histogram.cumsum(1) - histogram
    table = (below + step // 2) // step.clamp(min=1)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device)).clamp_(max=255)
    return _look_up(images, table.to(torch.uint8))


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Change the brightness: blend with black.

    Args:
        images: Images, (N, 3, H, W) uint8.
        factors: Factors, (N,); 0 is black, 1 the original image.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    return to_pixels(images.float().mul_(per_image(factors, images, dtype=torch.float32)))


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Change the contrast: blend with the mean gray of each image.

    Args:
        images: Images, (N, 3, H, W) uint8.
        factors: Factors, (N,); 0 is constant gray, 1 the original image.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    pixels = images.float()
    count = images.shape[2] * images.shape[3]
    # Integers: round(mean), halves up.
    total = _luma(pixels).to(torch.int64).sum((1, 2, 3))
    mean = (2 * total + count) // (2 * count)
    return _blend(per_image(mean, images, dtype=torch.float32), pixels, factors=factors)


def color(images: Tensor, factors: Tensor) -> Tensor:
    """Change the saturation: blend with the gray version of each image.

    Args:
        images: Images, (N, 3, H, W) uint8.
        factors: Factors, (N,); 0 is gray, 1 the original image.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    pixels = images.float()
    return _blend(_luma(pixels), pixels, factors=factors)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Change the sharpness: blend with a smoothed version of each image.

    Args:
        images: Images, (N, 3, H, W) uint8.
        factors: Factors, (N,); 0 is the smoothed image, 1 the original image, 2 a sharpened one.

    Returns:
        New images, (N, 3, H, W) uint8; images with a side below 3 pixels are unchanged, as the kernel does not fit.
    """
    if min(images.shape[2:]) < 3:
        return images.clone()
    pixels = images.float()
    rows = pixels[:, :, :-2] + pixels[:, :, 1:-1] + pixels[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    total.add_(pixels[:, :, 1:-1, 1:-1], alpha=4)
    # total is an integer, so (total + 6.5) / 13 is never close to an integer and float32 floors it exactly.
    smooth = pixels.clone()
    smooth[:, :, 1:-1, 1:-1] = total.add_(6.5).mul_(1 / 13).floor_()
    return _blend(smooth, pixels, factors=factors)


def grayscale(images: Tensor) -> Tensor:
    """Convert to ITU-R 601 luma in all three channels.

    Args:
        images: Images, (N, 3, H, W) uint8.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    return to_pixels(_luma(images.float())).expand_as(images).contiguous()


def _luma(pixels: Tensor) -> Tensor:
    """Return Pillow's integer luma, (N, 1, H, W) float32, of pixels (N, 3, H, W) float32."""
    # Pillow's 16-bit weights; every sum stays below 2**24, so it is exact in float32.
    total = pixels[:, :1] * 19595.0
    total.add_(pixels[:, 1:2], alpha=38470.0).add_(pixels[:, 2:], alpha=7471.0)
    return total.add_(32768.0).mul_(1 / 65536).floor_()


def _blend(degenerate: Tensor, pixels: Tensor, *, factors: Tensor) -> Tensor:
    """Return `degenerate + factor * (pixels - degenerate)` in float32 as Pillow does; modifies `pixels` in place."""
    factor = per_image(factors, pixels, dtype=torch.float32)
    return to_pixels(pixels.sub_(degenerate).mul_(factor).add_(degenerate))


def _counts(values: Tensor, number: int) -> Tensor:
    """Return how often each of the integers 0..number-1 occurs."""
    if not values.is_cuda:
        return torch.bincount(values, minlength=number)
    ones = torch.ones_like(values, dtype=torch.int64)
    # bincount looks for the largest value, for which the host would wait.
    return torch.zeros(number, dtype=torch.int64, device=values.device).scatter_add_(0, values.long(), ones)


def _look_up(images: Tensor, table: Tensor) -> Tensor:
    """Map the values of each channel of each image by its row of a (N*3, 256) table."""
    values = images.flatten(0, 1).flatten(1)
    return table.gather(1, values.long()).view(images.shape)
