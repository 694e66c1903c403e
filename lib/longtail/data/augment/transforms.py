"""The transforms that Bag of Tricks and NCL name in `TRANSFORMS.TRAIN_TRANSFORMS` and `TEST_TRANSFORMS`.

They are torchvision's, on uint8 batches. Resizing uses PyTorch's antialiased bilinear kernel, which differs
from Pillow's by one grey level at most; everything else is bit for bit what torchvision computes on PIL
images, given the same random numbers. Images of one batch share their size before the first transform.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from longtail.data.augment.geometry import window
from longtail.data.augment.resample import resize
from longtail.data.augment.simclr import ColorJitter, random_boxes
from longtail.data.augment.steps import Chain, Policy, RandomCrop, RandomFlip, RandomRotation
from longtail.errors import UserError
from longtail.registry import Registry

TRANSFORMS: Registry[Callable[[Any], Policy]] = Registry("transform")


class RandomResizedCropTo:
    """Resize a random box of each image to a fixed size.

    Args:
        size: height and width of the result.
        scale: bounds of the box's share of the area.
        ratio: bounds of width / height.
    """

    def __init__(self, size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]) -> None:
        self.size = size
        self.scale = scale
        self.ratio = ratio

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return resized boxes, uint8 (N, 3, *size), of images uint8 (N, 3, H, W)."""
        height, width = images.shape[2:]
        boxes = random_boxes(len(images), (height, width), self.scale, self.ratio, generator)
        # Image by image: boxes of large images differ in size, and one of them fills the caches anyway.
        crops = [
            resize(images[i : i + 1, :, top : top + tall, left : left + wide], self.size)
            for i, (top, left, tall, wide) in enumerate(boxes.tolist())
        ]
        return torch.cat(crops) if crops else images.new_empty(0, 3, *self.size)


class ResizeTo:
    """Resize all images to a fixed size, whatever their aspect ratio.

    Args:
        size: height and width of the result.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return resized images, uint8 (N, 3, *size)."""
        return resize(images, self.size)


class ResizeShorter:
    """Resize all images so that their shorter side has a given length.

    Args:
        length: of the shorter side in pixels; the longer side keeps the aspect ratio, rounded down.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return resized images, uint8 (N, 3, h, w) with min(h, w) = length."""
        height, width = images.shape[2:]
        return resize(images, self.size_of(height, width))

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the result."""
        if height <= width:
            return self.length, int(self.length * width / height)
        return int(self.length * height / width), self.length


class CenterCrop:
    """Cut out the centre; where an image is smaller, pad it with black.

    Args:
        size: height and width of the result.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return centres, uint8 (N, 3, *size)."""
        height, width = images.shape[2:]
        corner = self.corner(height, width)
        missing = [max(want - have, 0) for have, want in zip(images.shape[2:], self.size, strict=True)]
        if not any(missing):
            top, left = corner
            return images[:, :, top : top + self.size[0], left : left + self.size[1]].contiguous()
        tops, lefts = (torch.full((len(images),), start) for start in corner)
        return window(images, tops, lefts, self.size, (missing[0], missing[1]))

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """Return the row and column of the image that the result begins with; negative where there is padding."""
        return _centre(height, self.size[0]), _centre(width, self.size[1])


def _centre(have: int, want: int) -> int:
    """Return torchvision's first row (or column) of a central crop; negative where there is padding."""
    if want <= have:
        return round((have - want) / 2.0)
    return -((want - have) // 2)


def _size(cfg: Any) -> tuple[int, int]:
    height, width = cfg.INPUT_SIZE
    return int(height), int(width)


@TRANSFORMS.register("random_resized_crop")
def _random_resized_crop(cfg: Any) -> Policy:
    detail = cfg.TRANSFORMS.PROCESS_DETAIL.RANDOM_RESIZED_CROP
    return RandomResizedCropTo(_size(cfg), tuple(detail.SCALE), tuple(detail.RATIO))


@TRANSFORMS.register("random_crop")
def _random_crop(cfg: Any) -> Policy:
    return RandomCrop(int(cfg.TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING), _size(cfg))


@TRANSFORMS.register("random_horizontal_flip")
def _random_horizontal_flip(cfg: Any) -> Policy:
    return RandomFlip(0.5)


@TRANSFORMS.register("random_vertical_flip")
def _random_vertical_flip(cfg: Any) -> Policy:
    return RandomFlip(0.5, dim=-2)


@TRANSFORMS.register("random_rotation10")
def _random_rotation10(cfg: Any) -> Policy:
    return RandomRotation(10)


@TRANSFORMS.register("random_rotation20")
def _random_rotation20(cfg: Any) -> Policy:
    return RandomRotation(20)


@TRANSFORMS.register("random_rotation30")
def _random_rotation30(cfg: Any) -> Policy:
    return RandomRotation(30)


@TRANSFORMS.register("shorter_resize_for_crop")
def _shorter_resize_for_crop(cfg: Any) -> Policy:
    height, width = _size(cfg)
    if height != width:
        raise UserError(f"shorter_resize_for_crop needs a square INPUT_SIZE, got {(height, width)}")
    return ResizeShorter(int(height / 0.875))


@TRANSFORMS.register("normal_resize")
def _normal_resize(cfg: Any) -> Policy:
    return ResizeTo(_size(cfg))


@TRANSFORMS.register("center_crop")
def _center_crop(cfg: Any) -> Policy:
    return CenterCrop(_size(cfg))


@TRANSFORMS.register("normalize")
def _normalize(cfg: Any) -> Policy:
    # Normalisation happens later, on the device, in floating point.
    return Chain(())


@TRANSFORMS.register("color_jitter")
def _color_jitter(cfg: Any) -> Policy:
    return ColorJitter(0.4, 0.4, 0.4)


def build_transforms(names: Sequence[str], cfg: Any) -> Chain:
    """Return the chain of the named transforms.

    Args:
        names: entries of `TRANSFORMS`, in order of application.
        cfg: the configuration tree.

    Returns:
        A policy.

    Raises:
        UserError: a name is unknown, or a transform cannot work with INPUT_SIZE.
    """
    return Chain([TRANSFORMS.get(name)(cfg) for name in names])
