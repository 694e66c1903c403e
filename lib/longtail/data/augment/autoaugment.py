"""AutoAugment for CIFAR-10 (Cubuk et al., arXiv 1805.09501) as NCL's release executes it, on whole batches.

The 25 sub-policies are the published ones: two operations, each with a probability and a magnitude index
0..9. The release runs them through a port that differs from torchvision's `AutoAugment`; this module follows
the port. What the port does, and torchvision in brackets:

- One sub-policy uniformly per image; each operation fires when U(0,1) < p (when U <= p).
- Rotate: index * 30/9 degrees, always counter-clockwise (random sign); nearest, corners grey 128 (black).
- Shear x, y: slope index * 0.3/9, random sign, about the upper left corner (the same); Pillow's bicubic,
  which has a = -1 and drops fractions (nearest); grey fill (black).
- Translate x, y: index * 150/331/9 of the side, random sign (the same); fractional pixels, nearest (cut off
  to whole pixels); grey fill (black).
- Colour, contrast, brightness, sharpness: factor 1 + sign * 0.1 * index (the same).
- Posterize: 8 8 7 7 6 6 5 5 4 4 bits (the same).
- Solarize: thresholds from 256, where index 0 changes nothing, down to 0 (from 255).
- Autocontrast, equalize, invert: Pillow's (the same).

One thing differs from both: all random numbers come from one generator and are drawn before the first pixel
is touched, so results depend on nothing but its state and the number of images.

Magnitude 0 of a signed operation and operations that do not fire leave the image bit for bit as it is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from longtail.data.augment import color, geometry
from longtail.data.augment.batch import check_images, integers, uniform

_STEPS = 9  # the highest magnitude index


@dataclass(frozen=True)
class Operation:
    """One of AutoAugment's operations.

    Args:
        apply: images (N, 3, H, W) and magnitudes float64 (N,) to images.
        magnitude: what a magnitude index 0..9 stands for, without its sign.
        signed: whether the magnitude takes a random sign.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    magnitude: Callable[[int], float]
    signed: bool = False


def _up_to(top: float) -> Callable[[int], float]:
    return lambda index: index * (top / _STEPS)


def _enhance(apply: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return Operation(lambda images, magnitudes: apply(images, 1 + magnitudes), _up_to(0.9), signed=True)


def _shear(dim: int) -> Operation:
    return Operation(lambda images, slopes: geometry.shear(images, slopes, dim), _up_to(0.3), signed=True)


def _translate(dim: int) -> Operation:
    return Operation(
        lambda images, parts: geometry.translate(images, parts * images.shape[dim], dim),
        _up_to(150 / 331),
        signed=True,
    )


def _plain(apply: Callable[[Tensor], Tensor]) -> Operation:
    return Operation(lambda images, magnitudes: apply(images), lambda index: 0.0)


OPERATIONS: dict[str, Operation] = {
    "ShearX": _shear(-1),
    "ShearY": _shear(-2),
    "TranslateX": _translate(-1),
    "TranslateY": _translate(-2),
    "Rotate": Operation(geometry.rotate, _up_to(30.0)),
    "Color": _enhance(color.color),
    "Contrast": _enhance(color.contrast),
    "Brightness": _enhance(color.brightness),
    "Sharpness": _enhance(color.sharpness),
    "Posterize": Operation(color.posterize, lambda index: 8 - math.floor(index * 4 / _STEPS + 0.5)),
    "Solarize": Operation(color.solarize, lambda index: 256.0 - index * (256.0 / _STEPS)),
    "AutoContrast": _plain(color.autocontrast),
    "Equalize": _plain(color.equalize),
    "Invert": _plain(color.invert),
}

# One published sub-policy per line: operation, probability in tenths, magnitude index (0 where meaningless).
SUB_POLICIES: tuple[tuple[tuple[str, int, int], tuple[str, int, int]], ...] = (
    (("Invert", 1, 0), ("Contrast", 2, 6)),
    (("Rotate", 7, 2), ("TranslateX", 3, 9)),
    (("Sharpness", 8, 1), ("Sharpness", 9, 3)),
    (("ShearY", 5, 8), ("TranslateY", 7, 9)),
    (("AutoContrast", 5, 0), ("Equalize", 9, 0)),
    (("ShearY", 2, 7), ("Posterize", 3, 7)),
    (("Color", 4, 3), ("Brightness", 6, 7)),
    (("Sharpness", 3, 9), ("Brightness", 7, 9)),
    (("Equalize", 6, 0), ("Equalize", 5, 0)),
    (("Contrast", 6, 7), ("Sharpness", 6, 5)),
    (("Color", 7, 7), ("TranslateX", 5, 8)),
    (("Equalize", 3, 0), ("AutoContrast", 4, 0)),
    (("TranslateY", 4, 3), ("Sharpness", 2, 6)),
    (("Brightness", 9, 6), ("Color", 2, 8)),
    (("Solarize", 5, 2), ("Invert", 0, 0)),
    (("Equalize", 2, 0), ("AutoContrast", 6, 0)),
    (("Equalize", 2, 0), ("Equalize", 6, 0)),
    (("Color", 9, 9), ("Equalize", 6, 0)),
    (("AutoContrast", 8, 0), ("Solarize", 2, 8)),
    (("Brightness", 1, 3), ("Color", 7, 0)),
    (("Solarize", 4, 5), ("AutoContrast", 9, 0)),
    (("TranslateY", 9, 9), ("TranslateY", 7, 9)),
    (("AutoContrast", 9, 0), ("Solarize", 8, 3)),
    (("Equalize", 8, 0), ("Invert", 1, 0)),
    (("TranslateY", 7, 9), ("AutoContrast", 9, 0)),
)


class AutoAugment:
    """Apply one of AutoAugment's 25 CIFAR-10 sub-policies to each image; the module tells how."""

    def __init__(self) -> None:
        self._operations = list(OPERATIONS.values())
        names = list(OPERATIONS)
        entries = [operation for pair in SUB_POLICIES for operation in pair]
        specs = [OPERATIONS[name] for name, _, _ in entries]
        # (25, 2) tables: which operation, its chance, its magnitude and whether that takes a sign.
        self._code = torch.tensor([names.index(name) for name, _, _ in entries]).view(-1, 2)
        self._chance = torch.tensor([tenths / 10 for _, tenths, _ in entries], dtype=torch.float64).view(-1, 2)
        levels = [spec.magnitude(index) for spec, (_, _, index) in zip(specs, entries, strict=True)]
        self._level = torch.tensor(levels, dtype=torch.float64).view(-1, 2)
        self._signed = torch.tensor([spec.signed for spec in specs]).view(-1, 2)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw what happens to each image.

        Args:
            count: number of images N.
            generator: the only source of randomness.

        Returns:
            Operation codes int64 (N, 2), places in `OPERATIONS` or -1 for nothing, and signed magnitudes
            float64 (N, 2); both on the CPU, where the grouping is decided.
        """
        choice = integers(len(SUB_POLICIES), (count,), generator).cpu()
        fires = uniform((count, 2), generator).cpu() < self._chance[choice]
        sign = integers(2, (count, 2), generator).cpu() * 2 - 1
        magnitudes = torch.where(self._signed[choice], self._level[choice] * sign, self._level[choice])
        return self._code[choice].masked_fill(~fires, -1), magnitudes

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented images.

        Args:
            images: uint8 (N, 3, H, W).
            generator: the only source of randomness.

        Returns:
            uint8 (N, 3, H, W).
        """
        check_images(images)
        codes, magnitudes = self.draw(len(images), generator)
        # Images that share an operation are brought side by side; only the last gather restores their order.
        origin = torch.arange(len(images))
        for slot in range(2):
            order = codes[origin, slot].argsort(stable=True)
            images = images.index_select(0, order.to(images.device))
            origin = origin[order]
            sizes = torch.bincount(codes[origin, slot] + 1, minlength=len(self._operations) + 1).tolist()
            start = sizes[0]
            for operation, size in zip(self._operations, sizes[1:], strict=True):
                if size:
                    part = slice(start, start + size)
                    images[part] = operation.apply(images[part], magnitudes[origin[part], slot])
                    start += size
        return images.index_select(0, origin.argsort().to(images.device))
