"""Helpers to compare batched operations with Pillow."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

GRAY = (128, 128, 128)


def to_pillow(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def from_pillow(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def map_pillow(images: torch.Tensor, operation: Callable[[Image.Image], Image.Image]) -> torch.Tensor:
    return torch.stack([from_pillow(operation(to_pillow(image))) for image in images])


def assert_equal(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.dtype == torch.uint8
    assert ours.shape == theirs.shape
    difference = (ours.int() - theirs.int()).abs()
    assert difference.max() == 0, f"{int((difference > 0).sum())} values differ, at most by {int(difference.max())}"


def rotate_with_gray(image: Image.Image, angle: float) -> Image.Image:
    rotated = image.convert("RGBA").rotate(angle)
    return Image.composite(rotated, Image.new("RGBA", rotated.size, (128,) * 4), rotated).convert("RGB")
