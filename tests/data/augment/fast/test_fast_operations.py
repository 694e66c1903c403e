"""OpenCV's operations against Pillow's on photograph-like images."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from longtail.data.augment.fast import operations
from longtail.data.augment.fast.randaugment import OPERATIONS
from longtail.data.augment.randaugment import OPERATIONS as PILLOW
from longtail.data.augment.randaugment import SIGNED
from tests.helpers.photographs import photograph

EXACT = {"AutoContrast", "Equalize", "Invert", "Posterize", "Solarize", "SolarizeAdd"}
RESAMPLING = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
IMAGES = [photograph(seed=seed) for seed in range(3)] + [photograph(97, 64, seed=9)]


def difference(ours: np.ndarray, image: Image.Image) -> np.ndarray:
    expected = np.asarray(image)
    assert ours.shape == expected.shape
    assert ours.dtype == np.uint8
    return np.abs(ours.astype(int) - expected.astype(int))


def test_operations_have_the_names_that_are_drawn() -> None:
    assert set(OPERATIONS) == set(PILLOW)


@pytest.mark.parametrize("name", sorted(set(PILLOW) - SIGNED))
@pytest.mark.parametrize("level", [0.0, 0.31, 0.9, 1.0])
def test_color_operation_near_pillow(name: str, level: float) -> None:
    for pixels in IMAGES:
        before = pixels.copy()
        apart = difference(
            OPERATIONS[name](pixels, level, 0), PILLOW[name](Image.fromarray(pixels), level, RESAMPLING[0])
        )
        assert apart.max() <= (0 if name in EXACT else 2)
        assert np.array_equal(pixels, before)


@pytest.mark.parametrize("name", sorted(SIGNED))
@pytest.mark.parametrize("level", [-1.0, -0.37, 0.0, 0.52, 1.0])
@pytest.mark.parametrize("kind", [0, 1])
def test_geometric_operation_near_pillow(name: str, level: float, kind: int) -> None:
    for pixels in IMAGES:
        apart = difference(
            OPERATIONS[name](pixels, level, kind), PILLOW[name](Image.fromarray(pixels), level, RESAMPLING[kind])
        )
        assert apart.mean() <= 2.0  # of 255; the noise of a JPEG file of quality 90 is about as large


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
@pytest.mark.parametrize(
    ("ours", "pillow"),
    [
        (operations.brightness, ImageEnhance.Brightness),
        (operations.contrast, ImageEnhance.Contrast),
        (operations.color, ImageEnhance.Color),
        (operations.sharpness, ImageEnhance.Sharpness),
    ],
)
def test_enhancement_near_pillow(
    ours: Callable[[np.ndarray, float], np.ndarray],
    pillow: Callable[[Image.Image], ImageEnhance._Enhance],
    factor: float,
) -> None:
    for pixels in IMAGES:
        assert difference(ours(pixels, factor), pillow(Image.fromarray(pixels)).enhance(factor)).max() <= 2


def test_grayscale_near_pillow() -> None:
    for pixels in IMAGES:
        assert difference(operations.grayscale(pixels), Image.fromarray(pixels).convert("L").convert("RGB")).max() <= 1


@pytest.mark.parametrize("radius", [0.1, 0.5, 1.0, 2.0])
def test_blur_near_pillow(radius: float) -> None:
    for pixels in IMAGES:
        apart = difference(
            operations.blur(pixels, radius), Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius))
        )
        assert apart.mean() <= 1.0


def test_constant_image_is_unchanged_by_contrast_operations() -> None:
    pixels = np.full((20, 30, 3), 77, dtype=np.uint8)
    assert np.array_equal(operations.autocontrast(pixels), pixels)
    assert np.array_equal(operations.equalize(pixels), pixels)


def test_sharpness_of_two_pixels_is_unchanged() -> None:
    pixels = photograph(40, 40)[:2, :5]
    assert np.array_equal(operations.sharpness(pixels, 1.9), pixels)
