"""The operations of RandAugment on one image (H, W, 3) uint8 with OpenCV.

The geometric operations differ from Pillow's in three ways: positions are rounded to fractions of a pixel, the bicubic
kernel has a = -0.75 instead of -1, and the border to the outside is blended over one pixel instead of being sharp.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np

from longtail.data.augment.fast import operations
from longtail.data.augment.fast.operations import Pixels
from longtail.data.augment.randaugment import FILL

_RESAMPLING = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)  # by the number that `RandAugment.draw` returns

# (image, level L in 0..1, signed for geometric operations, resampling) -> image
Operation = Callable[[Pixels, float, int], Pixels]


def affine(pixels: Pixels, matrix: tuple[float, ...], resampling: int) -> Pixels:
    """Sample an image at the positions to which a matrix maps the output, like `Image.transform` with AFFINE.

    Args:
        pixels: Image, (H, W, 3) uint8.
        matrix: a, b, c, d, e, f: the output at (x, y) is the input at (a x + b y + c, d x + e y + f), where pixel
            centers are at halves.
        resampling: 0: bilinear, 1: bicubic.
    """
    a, b, c, d, e, f = matrix
    centered = np.array([[a, b, c + (a + b - 1) / 2], [d, e, f + (d + e - 1) / 2]])
    height, width = pixels.shape[:2]
    flags = _RESAMPLING[resampling] | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(pixels, centered, (width, height), flags=flags, borderValue=FILL)


def rotate(pixels: Pixels, angle: float, resampling: int) -> Pixels:
    """Rotate counter-clockwise by an angle in degrees about the center, like `Image.rotate`."""
    cos, sin = math.cos(-math.radians(angle)), math.sin(-math.radians(angle))
    y, x = pixels.shape[0] / 2, pixels.shape[1] / 2
    return affine(pixels, (cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y), resampling)


def _enhance(change: Callable[[Pixels, float], Pixels]) -> Operation:
    return lambda pixels, level, _: change(pixels, level * 1.8 + 0.1)


OPERATIONS: dict[str, Operation] = {
    "AutoContrast": lambda pixels, level, _: operations.autocontrast(pixels),
    "Equalize": lambda pixels, level, _: operations.equalize(pixels),
    "Invert": lambda pixels, level, _: operations.invert(pixels),
    "Rotate": lambda pixels, level, kind: rotate(pixels, level * 30.0, kind),
    "Posterize": lambda pixels, level, _: operations.posterize(pixels, max(int(level * 4), 1)),
    "Solarize": lambda pixels, level, _: operations.solarize(pixels, int(level * 256)),
    "SolarizeAdd": lambda pixels, level, _: operations.solarize_add(pixels, int(level * 110)),
    "Color": _enhance(operations.color),
    "Contrast": _enhance(operations.contrast),
    "Brightness": _enhance(operations.brightness),
    "Sharpness": _enhance(operations.sharpness),
    "ShearX": lambda pixels, level, kind: affine(pixels, (1, level * 0.3, 0, 0, 1, 0), kind),
    "ShearY": lambda pixels, level, kind: affine(pixels, (1, 0, 0, level * 0.3, 1, 0), kind),
    "TranslateXRel": lambda pixels, level, kind: affine(pixels, (1, 0, level * 0.45 * pixels.shape[1], 0, 1, 0), kind),
    "TranslateYRel": lambda pixels, level, kind: affine(pixels, (1, 0, 0, 0, 1, level * 0.45 * pixels.shape[0]), kind),
}
