"""Resizing and blurring on whole batches, bit-identical to Pillow where stated."""

import torch
import torch.nn.functional as F
from torch import Tensor

from longtail.data.augment.batch import moved, per_image

_RESIZE_BITS = 22  # precision of Pillow's resize weights
_BLUR_ONE = 1 << 24  # fixed-point 1 of Pillow's box blur
_BLUR_PASSES = 3
_BLUR_BLOCK = 64  # images per iteration of the blur; their float64 copies then fit the cache of a core


def enlarge_boxes(images: Tensor, boxes: Tensor) -> Tensor:
    """Resize a box of each image to the size of the image, bilinearly and equal to Pillow's crop and resize.

    Args:
        images: Images, (N, 3, H, W) uint8.
        boxes: Top, left, height and width of each box, (N, 4), integers; inside the image.

    Returns:
        New images, (N, 3, H, W) uint8.
    """
    # A box is never larger than the result, so each pixel depends on at most two neighbors per axis.
    count, channels, height, width = images.shape
    top, left, tall, wide = moved(boxes, images).unbind(1)
    columns, weights = _neighbors(left, wide, size=width)
    neighbors = [
        images.gather(3, columns[:, tap, None, None].expand(-1, channels, height, -1)).to(torch.int32)
        for tap in range(2)
    ]
    images = _weighted_sum(neighbors, weights[:, :, None, None])
    rows, weights = _neighbors(top, tall, size=height)
    first_row = torch.arange(0, count * channels * height, height, device=images.device).view(count, channels, 1)
    flat = images.reshape(-1, width)
    neighbors = [
        flat.index_select(0, (first_row + rows[:, tap, None]).view(-1)).view(images.shape).to(torch.int32)
        for tap in range(2)
    ]
    return _weighted_sum(neighbors, weights[:, :, None, :, None])


def _neighbors(start: Tensor, length: Tensor, *, size: int) -> tuple[Tensor, Tensor]:
    """Return indices int64 and Pillow's integer weights int32 for one axis, both (N, 2, size)."""
    scale = (length.double() / size)[:, None]
    center = (torch.arange(size, device=start.device) + 0.5) * scale
    first = (center - 0.5).clamp_(min=0).long()
    end = torch.minimum((center + 1.5).long(), length[:, None])
    indices = torch.stack((first, first + 1), 1)
    weights = (1 - (indices - center[:, None] + 0.5).abs()).clamp_(min=0)
    weights = weights * (indices < end[:, None])
    weights = weights / weights.sum(1, keepdim=True)
    fixed = (weights * (1 << _RESIZE_BITS) + 0.5).to(torch.int32)
    return torch.minimum(indices, length[:, None, None] - 1) + start[:, None, None], fixed


def _weighted_sum(values: list[Tensor], weights: Tensor) -> Tensor:
    """Return the rounded weighted sum of two tensors (N, 3, H, W) int32 as uint8; weights (N, 2, ...) broadcast."""
    total = values[0].mul_(weights[:, 0]).add_(values[1].mul_(weights[:, 1])).add_(1 << (_RESIZE_BITS - 1))
    return (total >> _RESIZE_BITS).clamp_(0, 255).to(torch.uint8)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize all images, bilinearly with antialiasing.

    PyTorch's uint8 kernel is fast on large images. Its weights are less precise than Pillow's, and results differ from
    Pillow's by at most one gray level.

    Args:
        images: Images, (N, 3, H, W) uint8.
        size: Height and width of the result.

    Returns:
        Resized images, (N, 3, *size) uint8.
    """
    if not len(images):
        return images.new_empty(0, 3, *size)
    if tuple(images.shape[2:]) == tuple(size):
        return images.clone()
    if images.device.type == "cpu" and tuple(size) != (1, 1):  # for which torch's uint8 kernel fails
        return F.interpolate(images, size=size, mode="bilinear", antialias=True)
    pixels = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True)
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


def gaussian_blur(images: Tensor, radii: Tensor) -> Tensor:
    """Blur each image with its own radius, equal to Pillow's `ImageFilter.GaussianBlur`.

    As in Pillow, the Gaussian is approximated by three extended box blurs (Gwosdek et al., SSVM 2011) per axis, with
    replicated borders, rounding after each, and the same integer weights.

    Args:
        images: Images, (N, 3, H, W) uint8.
        radii: Standard deviations in pixels, (N,).

    Returns:
        Blurred images, (N, 3, H, W) uint8.
    """
    box = _box_radii(radii.float().cpu())
    reach = int(box.max()) + 1 if len(box) else 1
    whole = box.floor()
    inner = (_BLUR_ONE / (box * 2 + 1)).double().floor()
    outer = ((_BLUR_ONE - (2 * whole + 1).double() * inner) / 2).floor()
    # weights[k] is the weight of the pixels k steps to either side.
    weights = [torch.where(whole >= k, inner, torch.where(whole == k - 1, outer, 0.0)) for k in range(reach + 1)]
    result = torch.empty_like(images)
    for start in range(0, len(images), _BLUR_BLOCK):
        part = slice(start, start + _BLUR_BLOCK)
        block = images[part].double()
        scaled = [per_image(weight[part], images, dtype=torch.float64) / _BLUR_ONE for weight in weights]
        for dim in (3, 2):
            for _ in range(_BLUR_PASSES):
                block = _blur_axis(block, scaled, dim=dim)
        result[part] = block.to(torch.int16).to(torch.uint8)
    return result


def _box_radii(radii: Tensor) -> Tensor:
    """Return the radius of the box whose threefold blur approximates a Gaussian, (N,) float32."""
    variance = radii * radii / _BLUR_PASSES
    whole = (((12.0 * variance.double() + 1.0).sqrt().float() - 1.0) / 2.0).floor()
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    return whole + part / (6 * (variance - (whole + 1) * (whole + 1)))


def _blur_axis(pixels: Tensor, weights: list[Tensor], *, dim: int) -> Tensor:
    """Blur integer-valued float64 pixels along one axis; weights are multiples of 2**-24, so every sum is exact."""
    reach, side = len(weights) - 1, pixels.shape[dim]
    edges = (pixels.narrow(dim, 0, 1), pixels.narrow(dim, side - 1, 1))
    borders = [edge.expand(*(reach if axis == dim else -1 for axis in range(4))) for edge in edges]
    padded = torch.cat((borders[0], pixels, borders[1]), dim)
    total = pixels * weights[0] + 0.5
    for k in range(1, reach + 1):
        pair = padded.narrow(dim, reach - k, side) + padded.narrow(dim, reach + k, side)
        total.add_(pair.mul_(weights[k]))
    return total.floor_()
