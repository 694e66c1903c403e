"""RandAugment (Cubuk et al., arXiv 1909.13719) as timm's `rand-n2-m10-mstd0.5`, which NCL uses for large images.

Two operations are drawn from fifteen for each image, uniformly and with replacement; each is left out with chance 0.5.
Its magnitude is M = clip(Gauss(10, 0.5), 0, 10), L = M / 10. timm's conventions, in which a larger M is not always a
stronger change:

- Rotate: +-30 L degrees; shear: slope +-0.3 L; translate: +-0.45 L of the side; the sign is fair. What comes in from
  outside is (124, 116, 104), the rounded mean of ImageNet; bilinear or bicubic, drawn for each call.
- Colour, contrast, brightness, sharpness: factor 0.1 + 1.8 L, so that nearly all images are enhanced.
- Posterize keeps int(4 L) bits; solarize inverts values from int(256 L) on, nothing at M = 10; SolarizeAdd adds
  int(110 L) to values below 128.
- Autocontrast, equalize, invert: Pillow's, without a magnitude.

The operations run in Pillow, image by image: large images come one at a time from the worker processes, and timm's own
arithmetic is Pillow's. Only images for which an operation is drawn are converted. All random numbers come from one
generator and are drawn before the first pixel is touched.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from longtail.data.augment.batch import check_images, integers, uniform

FILL = (124, 116, 104)  # round(255 * ImageNet's mean)
_RESAMPLING = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)

# image, level L in 0..1 (geometric operations: with its sign), resampling -> image
Operation = Callable[[Image.Image, float, Image.Resampling], Image.Image]


def _affine(image: Image.Image, matrix: tuple[float, ...], resampling: Image.Resampling) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resampling, fillcolor=FILL)


def _enhance(kind: Callable[[Image.Image], ImageEnhance._Enhance]) -> Operation:
    return lambda image, level, _: kind(image).enhance(level * 1.8 + 0.1)


def _solarize_add(image: Image.Image, level: float, resampling: Image.Resampling) -> Image.Image:
    add = int(level * 110)
    table = [min(255, value + add) if value < 128 else value for value in range(256)]
    return image.point(table * 3)


OPERATIONS: dict[str, Operation] = {
    "AutoContrast": lambda image, level, _: ImageOps.autocontrast(image),
    "Equalize": lambda image, level, _: ImageOps.equalize(image),
    "Invert": lambda image, level, _: ImageOps.invert(image),
    "Rotate": lambda image, level, resampling: image.rotate(level * 30.0, resampling, fillcolor=FILL),
    "Posterize": lambda image, level, _: ImageOps.posterize(image, max(int(level * 4), 1)),  # Pillow refuses 0
    "Solarize": lambda image, level, _: ImageOps.solarize(image, int(level * 256)),
    "SolarizeAdd": _solarize_add,
    "Color": _enhance(ImageEnhance.Color),
    "Contrast": _enhance(ImageEnhance.Contrast),
    "Brightness": _enhance(ImageEnhance.Brightness),
    "Sharpness": _enhance(ImageEnhance.Sharpness),
    "ShearX": lambda image, level, resampling: _affine(image, (1, level * 0.3, 0, 0, 1, 0), resampling),
    "ShearY": lambda image, level, resampling: _affine(image, (1, 0, 0, level * 0.3, 1, 0), resampling),
    "TranslateXRel": lambda image, level, resampling: _affine(
        image, (1, 0, level * 0.45 * image.width, 0, 1, 0), resampling
    ),
    "TranslateYRel": lambda image, level, resampling: _affine(
        image, (1, 0, 0, 0, 1, level * 0.45 * image.height), resampling
    ),
}
_CALLS = tuple(OPERATIONS.values())
SIGNED = {"Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}


class Draws(NamedTuple):
    """What happens to N images, `count` operations each, all of shape (N, count) on the CPU.

    Attributes:
        codes: places in `OPERATIONS`, -1 for nothing.
        levels: L float64, with a sign for the operations that take one.
        resampling: 0 bilinear, 1 bicubic.
    """

    codes: Tensor
    levels: Tensor
    resampling: Tensor


class RandAugment:
    """Apply randomly drawn operations to each image; the module tells which.

    Args:
        count: n, operations drawn for each image.
        magnitude: mean of M, 0..10.
        deviation: of M.
        chance: of an operation being carried out.
    """

    def __init__(self, count: int = 2, magnitude: float = 10.0, deviation: float = 0.5, chance: float = 0.5) -> None:
        self.count = count
        self.magnitude = magnitude
        self.deviation = deviation
        self.chance = chance
        self._signed = torch.tensor([name in SIGNED for name in OPERATIONS])

    def draw(self, images: int, generator: torch.Generator) -> Draws:
        """Draw what happens to a number of images."""
        shape = (images, self.count)
        codes = integers(len(_CALLS), shape, generator).cpu()
        fires = uniform(shape, generator).cpu() < self.chance
        normal = torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64).cpu()
        levels = (self.magnitude + self.deviation * normal).clamp_(0, 10) / 10
        signs = integers(2, shape, generator).cpu() * 2 - 1
        levels = torch.where(self._signed[codes], levels * signs, levels)
        return Draws(codes.masked_fill(~fires, -1), levels, integers(2, shape, generator).cpu())

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented images, uint8 (N, 3, H, W), of images uint8 (N, 3, H, W)."""
        check_images(images)
        draws = self.draw(len(images), generator)
        results = []
        for image, *drawn in zip(images, *(values.tolist() for values in draws), strict=True):
            if max(drawn[0]) >= 0:
                # Plane by plane in both directions, which takes a third of the time of interleaving them here.
                picture = Image.merge("RGB", [Image.fromarray(plane) for plane in image.cpu().numpy()])
                for code, level, kind in zip(*drawn, strict=True):
                    if code >= 0:
                        picture = _CALLS[code](picture, level, _RESAMPLING[kind])
                planes = np.stack([np.asarray(band) for band in picture.split()])
                image = torch.from_numpy(planes).to(images.device)
            results.append(image)
        # An image from a file comes alone, and is copied into its batch soon enough.
        return results[0][None] if len(results) == 1 else torch.stack(results) if results else images.clone()
