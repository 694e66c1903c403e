"""RandAugment (Cubuk et al., arXiv 1909.13719) as in timm's `rand-n2-m10-mstd0.5`, which NCL uses for large images.

Two operations are drawn from fifteen for each image, uniformly and with replacement; each is skipped with probability
0.5. Its magnitude is M = clip(Gauss(10, 0.5), 0, 10), L = M / 10. By timm's conventions, a larger M is not always a
stronger change:

- Rotate: +-30 L degrees; shear: slope +-0.3 L; translate: +-0.45 L of the side; both signs are equally likely. The
  outside is filled with (124, 116, 104), the rounded mean of ImageNet; bilinear or bicubic, drawn for each call.
- Color, contrast, brightness, sharpness: factor 0.1 + 1.8 L, so that nearly all images are enhanced.
- Posterize keeps int(4 L) bits; solarize inverts values of at least int(256 L), none at M = 10; SolarizeAdd adds
  int(110 L) to values below 128.
- Autocontrast, equalize, invert: Pillow's, without a magnitude.

The operations run in Pillow, image by image: the worker processes augment large images one at a time, and timm itself
uses Pillow. Only images with at least one operation are converted. All random numbers come from one generator and are
drawn before any pixel is processed.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from longtail.data.augment.batch import check_images, integers, uniform, uniform_list

FILL = (124, 116, 104)  # round(255 * ImageNet's mean)
_RESAMPLING = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)

# (image, level L in 0..1, signed for geometric operations, resampling) -> image
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
_SIGNS = tuple(name in SIGNED for name in OPERATIONS)


class Draws(NamedTuple):
    """The operations drawn for N images, all of shape (N, num_ops) and on the CPU.

    Attributes:
        codes: Indices into `OPERATIONS`, -1 for no operation.
        levels: Levels L, float64, signed for the operations that take a sign.
        resampling: 0: bilinear, 1: bicubic.
    """

    codes: Tensor
    levels: Tensor
    resampling: Tensor


class RandAugment:
    """RandAugment: randomly drawn operations, applied to each image; see the module.

    Args:
        num_ops: Number of operations drawn per image.
        magnitude: Mean of the magnitude M, in 0..10.
        std: Standard deviation of the magnitude M.
        p: Probability that a drawn operation is applied.
    """

    def __init__(self, num_ops: int = 2, magnitude: float = 10.0, *, std: float = 0.5, p: float = 0.5) -> None:
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.std = std
        self.p = p
        self._signed = torch.tensor(_SIGNS)

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Draw the operations of a number of images."""
        shape = (count, self.num_ops)
        codes = integers(len(_CALLS), shape, generator=generator).cpu()
        applied = uniform(shape, generator=generator).cpu() < self.p
        normal = torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64).cpu()
        levels = (self.magnitude + self.std * normal).clamp_(0, 10) / 10
        signs = integers(2, shape, generator=generator).cpu() * 2 - 1
        levels = torch.where(self._signed[codes], levels * signs, levels)
        return Draws(codes.masked_fill(~applied, -1), levels, integers(2, shape, generator=generator).cpu())

    def draw_one(self, generator: torch.Generator) -> list[tuple[int, float, int]]:
        """Draw the operations of a single image like `draw`: code, level and resampling of those that are applied."""
        shape = (self.num_ops,)
        codes = integers(len(_CALLS), shape, generator=generator).tolist()
        draws = uniform_list(self.num_ops, generator)
        normal = torch.randn(shape, generator=generator, dtype=torch.float64).tolist()
        signs = integers(2, shape, generator=generator).tolist()
        resampling = integers(2, shape, generator=generator).tolist()
        drawn = []
        for code, draw, noise, sign, kind in zip(codes, draws, normal, signs, resampling, strict=True):
            if draw < self.p:
                level = min(max(self.magnitude + self.std * noise, 0.0), 10.0) / 10
                drawn.append((code, -level if _SIGNS[code] and not sign else level, kind))
        return drawn

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented images, (N, 3, H, W) uint8, of images (N, 3, H, W) uint8."""
        check_images(images)
        draws = self.draw(len(images), generator)
        results = []
        for image, *drawn in zip(images, *(values.tolist() for values in draws), strict=True):
            if max(drawn[0]) >= 0:
                # Convert channel by channel in both directions, which is three times faster than interleaving here.
                picture = Image.merge("RGB", [Image.fromarray(plane) for plane in image.cpu().numpy()])
                for code, level, kind in zip(*drawn, strict=True):
                    if code >= 0:
                        picture = _CALLS[code](picture, level, _RESAMPLING[kind])
                planes = np.stack([np.asarray(band) for band in picture.split()])
                image = torch.from_numpy(planes).to(images.device)
            results.append(image)
        # A single image from a file is not copied here; it is copied into its batch later.
        return results[0][None] if len(results) == 1 else torch.stack(results) if results else images.clone()
