"""AutoAugment for CIFAR-10 (Cubuk et al., arXiv 1805.09501) as in the release of NCL, on whole batches.

The 25 sub-policies are the published ones: two operations, each with a probability and a magnitude index 0..9. The
release uses a port that differs from torchvision's `AutoAugment`; this module follows the port. The port, with
torchvision in parentheses:

- One sub-policy per image, uniformly; an operation is applied if U(0,1) < p (U <= p).
- Rotate: index * 30/9 degrees, always counter-clockwise (random sign); nearest, corners filled with gray 128
  (black).
- Shear x, y: slope index * 0.3/9, random sign, about the upper left corner (the same); Pillow's bicubic, which has
  a = -1 and truncates (nearest); gray fill (black).
- Translate x, y: index * 150/331/9 of the side, random sign (the same); fractional pixels, nearest (truncated to whole
  pixels); gray fill (black).
- Color, contrast, brightness, sharpness: factor 1 + sign * 0.1 * index (the same).
- Posterize: 8 8 7 7 6 6 5 5 4 4 bits (the same).
- Solarize: thresholds from 256, where index 0 changes nothing, down to 0 (from 255).
- Autocontrast, equalize, invert: Pillow's (the same).

Unlike both, all random numbers come from one generator and are drawn before any pixel is processed, so results depend
only on its state and the number of images.

Signed operations of magnitude 0, and operations that are not applied, leave the image unchanged.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from longtail.data.augment import color, geometry
from longtail.data.augment.batch import check_images, integers, moved, uniform

_STEPS = 9  # largest magnitude index


@dataclass(frozen=True)
class Operation:
    """One operation of AutoAugment.

    Attributes:
        apply: Maps images (N, 3, H, W) and magnitudes (N,) float64 to images.
        magnitude: Maps a magnitude index 0..9 to the absolute magnitude.
        signed: Give the magnitude a random sign.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    magnitude: Callable[[int], float]
    signed: bool = False


def _linear(maximum: float) -> Callable[[int], float]:
    return lambda index: index * (maximum / _STEPS)


def _enhance(apply: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return Operation(lambda images, magnitudes: apply(images, 1 + magnitudes), _linear(0.9), signed=True)


def _shear(dim: int) -> Operation:
    return Operation(lambda images, slopes: geometry.shear(images, slopes, dim=dim), _linear(0.3), signed=True)


def _translate(dim: int) -> Operation:
    return Operation(
        lambda images, fractions: geometry.translate(images, fractions * images.shape[dim], dim=dim),
        _linear(150 / 331),
        signed=True,
    )


def _without_magnitude(apply: Callable[[Tensor], Tensor]) -> Operation:
    return Operation(lambda images, magnitudes: apply(images), lambda index: 0.0)


OPERATIONS: dict[str, Operation] = {
    "ShearX": _shear(-1),
    "ShearY": _shear(-2),
    "TranslateX": _translate(-1),
    "TranslateY": _translate(-2),
    "Rotate": Operation(geometry.rotate, _linear(30.0)),
    "Color": _enhance(color.color),
    "Contrast": _enhance(color.contrast),
    "Brightness": _enhance(color.brightness),
    "Sharpness": _enhance(color.sharpness),
    "Posterize": Operation(color.posterize, lambda index: 8 - math.floor(index * 4 / _STEPS + 0.5)),
    "Solarize": Operation(color.solarize, lambda index: 256.0 - index * (256.0 / _STEPS)),
    "AutoContrast": _without_magnitude(color.autocontrast),
    "Equalize": _without_magnitude(color.equalize),
    "Invert": _without_magnitude(color.invert),
}

# One published sub-policy per line: (operation, probability in tenths, magnitude index); index 0 if not used.
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
    """AutoAugment: one of the 25 CIFAR-10 sub-policies, applied to each image; see the module."""

    def __init__(self) -> None:
        self._operations = list(OPERATIONS.values())
        names = list(OPERATIONS)
        entries = [operation for pair in SUB_POLICIES for operation in pair]
        specs = [OPERATIONS[name] for name, _, _ in entries]
        # (25, 2) tables: operation, its probability, its magnitude, and whether the magnitude is signed.
        self._code = torch.tensor([names.index(name) for name, _, _ in entries]).view(-1, 2)
        self._probability = torch.tensor([tenths / 10 for _, tenths, _ in entries], dtype=torch.float64).view(-1, 2)
        levels = [spec.magnitude(index) for spec, (_, _, index) in zip(specs, entries, strict=True)]
        self._level = torch.tensor(levels, dtype=torch.float64).view(-1, 2)
        self._signed = torch.tensor([spec.signed for spec in specs]).view(-1, 2)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the operations of each image.

        Args:
            count: Number of images N.
            generator: Source of all randomness.

        Returns:
            Operation codes, (N, 2) int64: indices into `OPERATIONS`, -1 for no operation; and signed magnitudes,
            (N, 2) float64. Both are on the CPU, where images are grouped.
        """
        choice = integers(len(SUB_POLICIES), (count,), generator=generator).cpu()
        applied = uniform((count, 2), generator=generator).cpu() < self._probability[choice]
        sign = integers(2, (count, 2), generator=generator).cpu() * 2 - 1
        magnitudes = torch.where(self._signed[choice], self._level[choice] * sign, self._level[choice])
        return self._code[choice].masked_fill(~applied, -1), magnitudes

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented images.

        Args:
            images: Images, (N, 3, H, W) uint8.
            generator: Source of all randomness.

        Returns:
            Augmented images, (N, 3, H, W) uint8.
        """
        check_images(images)
        codes, magnitudes = self.draw(len(images), generator)
        # Images with the same operation are sorted next to each other; only the last gather restores their order.
        origin = torch.arange(len(images))
        for slot in range(2):
            order = codes[origin, slot].argsort(stable=True)
            images = images.index_select(0, moved(order, images))
            origin = origin[order]
            sizes = torch.bincount(codes[origin, slot] + 1, minlength=len(self._operations) + 1).tolist()
            start = sizes[0]
            for operation, size in zip(self._operations, sizes[1:], strict=True):
                if size:
                    part = slice(start, start + size)
                    images[part] = operation.apply(images[part], magnitudes[origin[part], slot])
                    start += size
        return images.index_select(0, moved(origin.argsort(), images))
