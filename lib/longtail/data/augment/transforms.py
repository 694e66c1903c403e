"""The transforms of Bag of Tricks and NCL, named in `TRANSFORMS.TRAIN_TRANSFORMS` and `TEST_TRANSFORMS`.

They are torchvision's transforms on uint8 batches. Resizing uses PyTorch's antialiased bilinear kernel, which differs
from Pillow's by at most one gray level. Given the same random numbers, everything else is bit-identical to torchvision
on PIL images. The images of a batch must have the same size before the first transform.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data.augment.geometry import window
from longtail.data.augment.resample import resize
from longtail.data.augment.simclr import ColorJitter, random_boxes
from longtail.data.augment.steps import Chain, Policy, RandomCrop, RandomFlip, RandomRotation
from longtail.data.augment.torchvision_v2 import PREFIX, TorchvisionTransform
from longtail.errors import UserError
from longtail.registry import Registry

LARGEST = 100_000_000  # pixels of a resized image: 300 MB
TRANSFORMS: Registry[Callable[[CfgNode], Policy]] = Registry("transform")


class RandomResizedCropTo:
    """Resizes a random box of each image to a fixed size.

    Args:
        size: Height and width of the result.
        scale: Bounds of the area of the box as a fraction of the area of the image.
        ratio: Bounds of width / height.
    """

    def __init__(self, size: tuple[int, int], *, scale: tuple[float, float], ratio: tuple[float, float]) -> None:
        self.size = size
        self.scale = scale
        self.ratio = ratio

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return resized boxes, (N, 3, *size) uint8, of images (N, 3, H, W) uint8."""
        height, width = images.shape[2:]
        boxes = random_boxes(len(images), (height, width), scale=self.scale, ratio=self.ratio, generator=generator)
        # Image by image: the boxes differ in size, and one large image fills the caches anyway.
        crops = [
            resize(images[i : i + 1, :, top : top + tall, left : left + wide], self.size)
            for i, (top, left, tall, wide) in enumerate(boxes.tolist())
        ]
        return torch.cat(crops) if crops else images.new_empty(0, 3, *self.size)


class ResizeTo:
    """Resizes all images to a fixed size, without keeping the aspect ratio.

    Args:
        size: Height and width of the result.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return resized images, (N, 3, *size) uint8."""
        return resize(images, self.size)


class ResizeShorter:
    """Resizes all images such that their shorter side has a given length.

    Args:
        length: Length of the shorter side in pixels; the longer side keeps the aspect ratio, rounded down.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return resized images, (N, 3, h, w) uint8 with min(h, w) = length.

        Raises:
            UserError: They would have more than `LARGEST` pixels, because one side is much longer than the other.
        """
        height, width = images.shape[2:]
        size = self.size_of(height, width)
        if size[0] * size[1] > LARGEST:
            raise UserError(
                f"an image of {height} x {width} pixels is too long: with a shorter side of {self.length} it has "
                f"{size[0] * size[1]:,} pixels, more than {LARGEST:,}"
            )
        return resize(images, size)

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the result."""
        if height <= width:
            return self.length, int(self.length * width / height)
        return int(self.length * height / width), self.length


class CenterCrop:
    """Crops the center; smaller images are padded with black.

    Args:
        size: Height and width of the result.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return center crops, (N, 3, *size) uint8."""
        height, width = images.shape[2:]
        corner = self.corner(height, width)
        missing = [max(crop - side, 0) for side, crop in zip(images.shape[2:], self.size, strict=True)]
        if not any(missing):
            top, left = corner
            return images[:, :, top : top + self.size[0], left : left + self.size[1]].contiguous()
        tops, lefts = (torch.full((len(images),), start) for start in corner)
        return window(images, tops=tops, lefts=lefts, size=self.size, reach=(missing[0], missing[1]))

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """Return the first row and column of the crop; negative if the image is padded."""
        return _first(height, self.size[0]), _first(width, self.size[1])


def _first(side: int, crop: int) -> int:
    """Return the first row or column of torchvision's center crop; negative if the image is padded."""
    if crop <= side:
        return round((side - crop) / 2.0)
    return -((crop - side) // 2)


def _size(cfg: CfgNode) -> tuple[int, int]:
    height, width = cfg.INPUT_SIZE
    return int(height), int(width)


@TRANSFORMS.register("random_resized_crop")
def _random_resized_crop(cfg: CfgNode) -> Policy:
    detail = cfg.TRANSFORMS.PROCESS_DETAIL.RANDOM_RESIZED_CROP
    return RandomResizedCropTo(_size(cfg), scale=tuple(detail.SCALE), ratio=tuple(detail.RATIO))


@TRANSFORMS.register("random_crop")
def _random_crop(cfg: CfgNode) -> Policy:
    return RandomCrop(int(cfg.TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING), _size(cfg))


@TRANSFORMS.register("random_horizontal_flip")
def _random_horizontal_flip(cfg: CfgNode) -> Policy:
    return RandomFlip(0.5)


@TRANSFORMS.register("random_vertical_flip")
def _random_vertical_flip(cfg: CfgNode) -> Policy:
    return RandomFlip(0.5, dim=-2)


@TRANSFORMS.register("random_rotation10")
def _random_rotation10(cfg: CfgNode) -> Policy:
    return RandomRotation(10)


@TRANSFORMS.register("random_rotation20")
def _random_rotation20(cfg: CfgNode) -> Policy:
    return RandomRotation(20)


@TRANSFORMS.register("random_rotation30")
def _random_rotation30(cfg: CfgNode) -> Policy:
    return RandomRotation(30)


@TRANSFORMS.register("shorter_resize_for_crop")
def _shorter_resize_for_crop(cfg: CfgNode) -> Policy:
    height, width = _size(cfg)
    if height != width:
        raise UserError(f"shorter_resize_for_crop needs a square INPUT_SIZE, got {(height, width)}")
    return ResizeShorter(int(height / 0.875))


@TRANSFORMS.register("normal_resize")
def _normal_resize(cfg: CfgNode) -> Policy:
    return ResizeTo(_size(cfg))


@TRANSFORMS.register("center_crop")
def _center_crop(cfg: CfgNode) -> Policy:
    return CenterCrop(_size(cfg))


@TRANSFORMS.register("normalize")
def _normalize(cfg: CfgNode) -> Policy:
    # Images are normalized later, on the device.
    return Chain(())


@TRANSFORMS.register("color_jitter")
def _color_jitter(cfg: CfgNode) -> Policy:
    return ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)


def build_transforms(names: Sequence[str], cfg: CfgNode) -> Chain:
    """Return the chain of the named transforms.

    Args:
        names: Names in `TRANSFORMS`, or transforms of torchvision such as `v2.ColorJitter(brightness=0.4)`, in order of
            application.
        cfg: Config.

    Returns:
        A policy.

    Raises:
        UserError: A name is unknown, or a transform cannot work with its arguments or INPUT_SIZE.
    """
    return Chain(
        [_from_torchvision(name, cfg) if name.startswith(PREFIX) else TRANSFORMS.get(name)(cfg) for name in names]
    )


def _from_torchvision(text: str, cfg: CfgNode) -> TorchvisionTransform:
    """Build a transform of torchvision, tried on an image of twice INPUT_SIZE."""
    transform = TorchvisionTransform(text)
    height, width = _size(cfg)
    transform.check((2 * height, 2 * width))
    return transform
