"""Resizing and blurring on whole batches, equal to Pillow's bit for bit where said so."""

import torch
import torch.nn.functional as F
from torch import Tensor

from longtail.data.augment.batch import per_image

_RESIZE_BITS = 22  # precision of Pillow's resize weights
_BLUR_ONE = 1 << 24  # what Pillow's box blur calls 1
_BLUR_PASSES = 3
_BLUR_BLOCK = 64  # images per turn of the blur: their float64 copies then stay in a core's cache


def enlarge_boxes(images: Tensor, boxes: Tensor) -> Tensor:
    """Blow a box of each image up to the image's own size, bilinear, equal to Pillow's crop and resize.

    Args:
        images: uint8 (N, 3, H, W).
        boxes: whole numbers (N, 4): top, left, height, width; inside the image.

    Returns:
        uint8 (N, 3, H, W).
    """
    # Because a box is never larger than its result, each pixel has at most two neighbours that count.
    count, channels, height, width = images.shape
    top, left, tall, wide = boxes.to(images.device).unbind(1)
    columns, weights = _neighbours(left, wide, width)
    sides = [
        images.gather(3, columns[:, tap, None, None].expand(-1, channels, height, -1)).to(torch.int32)
        for tap in range(2)
    ]
    images = _weigh(sides, weights[:, :, None, None])
    rows, weights = _neighbours(top, tall, height)
    first_row = torch.arange(0, count * channels * height, height, device=images.device).view(count, channels, 1)
    flat = images.reshape(-1, width)
    ends = [
        flat.index_select(0, (first_row + rows[:, tap, None]).view(-1)).view(images.shape).to(torch.int32)
        for tap in range(2)
    ]
    return _weigh(ends, weights[:, :, None, :, None])


def _neighbours(start: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return places int64 and Pillow's whole-number weights int32, both (N, 2, size), for one axis."""
    scale = (length.double() / size)[:, None]
    centre = (torch.arange(size, device=start.device) + 0.5) * scale
    first = (centre - 0.5).clamp_(min=0).long()
    end = torch.minimum((centre + 1.5).long(), length[:, None])
    places = torch.stack((first, first + 1), 1)
    weights = (1 - (places - centre[:, None] + 0.5).abs()).clamp_(min=0)
    weights = weights * (places < end[:, None])
    weights = weights / weights.sum(1, keepdim=True)
    whole = (weights * (1 << _RESIZE_BITS) + 0.5).to(torch.int32)
    return torch.minimum(places, length[:, None, None] - 1) + start[:, None, None], whole


def _weigh(values: list[Tensor], weights: Tensor) -> Tensor:
    """Return the rounded sum of two int32 (N, 3, H, W) under weights (N, 2, ...) that broadcast, as uint8."""
    total = values[0].mul_(weights[:, 0]).add_(values[1].mul_(weights[:, 1])).add_(1 << (_RESIZE_BITS - 1))
    return (total >> _RESIZE_BITS).clamp_(0, 255).to(torch.uint8)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize every image of a batch, bilinear with antialiasing.

    PyTorch's uint8 kernel is used for its speed on large images; its weights are shorter than Pillow's, and
    results differ from Pillow's by one grey level at most.

    Args:
        images: uint8 (N, 3, H, W).
        size: height and width of the result.

    Returns:
        uint8 (N, 3, *size).
    """
    if not len(images):
        return images.new_empty(0, 3, *size)
    if tuple(images.shape[2:]) == tuple(size):
        return images.clone()
    if images.device.type == "cpu":
        return F.interpolate(images, size=size, mode="bilinear", antialias=True)
    pixels = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True)
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


def gaussian_blur(images: Tensor, radii: Tensor) -> Tensor:
    """Blur each image with its own radius, equal to Pillow's `ImageFilter.GaussianBlur`.

    Pillow approximates the Gaussian by three extended box blurs (Gwosdek et al., SSVM 2011) per axis, with
    copied borders and a rounding after each; so does this, with the same whole-number weights.

    Args:
        images: uint8 (N, 3, H, W).
        radii: (N,) standard deviations in pixels.

    Returns:
        uint8 (N, 3, H, W).
    """
    box = _box_radii(radii.float().cpu())
    reach = int(box.max()) + 1 if len(box) else 1
    whole = box.floor()
    inner = (_BLUR_ONE / (box * 2 + 1)).double().floor()
    outer = ((_BLUR_ONE - (2 * whole + 1).double() * inner) / 2).floor()
    # weights[k] counts for the pixels k steps to either side.
    weights = [torch.where(whole >= k, inner, torch.where(whole == k - 1, outer, 0.0)) for k in range(reach + 1)]
    result = torch.empty_like(images)
    for start in range(0, len(images), _BLUR_BLOCK):
        part = slice(start, start + _BLUR_BLOCK)
        block = images[part].double()
        scaled = [per_image(weight[part], images, torch.float64) / _BLUR_ONE for weight in weights]
        for dim in (3, 2):
            for _ in range(_BLUR_PASSES):
                block = _blur_line(block, scaled, dim)
        result[part] = block.to(torch.int16).to(torch.uint8)
    return result


def _box_radii(radii: Tensor) -> Tensor:
    """Return the radius of the box whose threefold blur stands for a Gaussian, float32 (N,)."""
    variance = radii * radii / _BLUR_PASSES
    whole = (((12.0 * variance.double() + 1.0).sqrt().float() - 1.0) / 2.0).floor()
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    return whole + part / (6 * (variance - (whole + 1) * (whole + 1)))


def _blur_line(pixels: Tensor, weights: list[Tensor], dim: int) -> Tensor:
    """Blur whole float64 pixels along one axis; weights are multiples of 2**-24, so every sum is exact."""
    reach, side = len(weights) - 1, pixels.shape[dim]
    edges = (pixels.narrow(dim, 0, 1), pixels.narrow(dim, side - 1, 1))
    wings = [edge.expand(*(reach if axis == dim else -1 for axis in range(4))) for edge in edges]
    padded = torch.cat((wings[0], pixels, wings[1]), dim)
    total = pixels * weights[0] + 0.5
    for k in range(1, reach + 1):
        pair = padded.narrow(dim, reach - k, side) + padded.narrow(dim, reach + k, side)
        total.add_(pair.mul_(weights[k]))
    return total.floor_()
