"""Tests of color operations: bit-identical to Pillow."""

from typing import Any

import pytest
import torch
from PIL import ImageEnhance, ImageOps
from pillow_reference import assert_equal, map_pillow

from longtail.data.augment import color

FACTORS = [0.0, 0.1, 0.37, 0.5, 0.9, 1.0, 1.1, 1.3, 1.4, 1.7, 1.9]


def repeated(images: torch.Tensor, value: float) -> torch.Tensor:
    return torch.full((len(images),), value, dtype=torch.float64)


def test_invert(images: Any) -> None:
    assert_equal(color.invert(images), map_pillow(images, ImageOps.invert))


def test_autocontrast(images: Any) -> None:
    assert_equal(color.autocontrast(images), map_pillow(images, ImageOps.autocontrast))


@pytest.mark.slow
def test_autocontrast_all_ranges() -> None:
    # One image per (low, high) pair of a coarse grid, each with all levels in between.
    pairs = [(low, high) for low in range(0, 256, 7) for high in range(low + 1, 256, 5)]
    ramps = torch.stack([torch.linspace(low, high, 256).round() for low, high in pairs]).to(torch.uint8)
    images = ramps.view(-1, 1, 16, 16).repeat(1, 3, 1, 1)
    assert_equal(color.autocontrast(images), map_pillow(images, ImageOps.autocontrast))


def test_equalize(images: Any) -> None:
    assert_equal(color.equalize(images), map_pillow(images, ImageOps.equalize))


def test_equalize_table_overflow() -> None:
    # 400 pixels below the brightest level: the step is 1 and Pillow clips the table at 255.
    flat = torch.cat([torch.arange(200).repeat(2), torch.full((112,), 230)]).to(torch.uint8)
    images = flat.view(1, 1, 16, 32).repeat(2, 3, 1, 1)
    assert_equal(color.equalize(images), map_pillow(images, ImageOps.equalize))


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize(images: Any, bits: Any) -> None:
    ours = color.posterize(images, repeated(images, bits))
    assert_equal(ours, map_pillow(images, lambda image: ImageOps.posterize(image, bits)))


@pytest.mark.parametrize("threshold", [0.0, 28.444444444444446, 128.0, 227.55555555555554, 255.0, 256.0])
def test_solarize(images: Any, threshold: Any) -> None:
    ours = color.solarize(images, repeated(images, threshold))
    assert_equal(ours, map_pillow(images, lambda image: ImageOps.solarize(image, threshold)))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (color.brightness, ImageEnhance.Brightness),
        (color.contrast, ImageEnhance.Contrast),
        (color.color, ImageEnhance.Color),
        (color.sharpness, ImageEnhance.Sharpness),
    ],
    ids=["brightness", "contrast", "color", "sharpness"],
)
def test_enhance(images: Any, ours: Any, theirs: Any, factor: Any) -> None:
    expected = map_pillow(images, lambda image: theirs(image).enhance(factor))
    assert_equal(ours(images, repeated(images, factor)), expected)


def test_sharpness_small_images() -> None:
    images = torch.randint(0, 256, (3, 3, 2, 9), dtype=torch.uint8)
    expected = map_pillow(images, lambda image: ImageEnhance.Sharpness(image).enhance(1.9))
    assert_equal(color.sharpness(images, repeated(images, 1.9)), expected)


def test_grayscale(images: Any) -> None:
    assert_equal(color.grayscale(images), map_pillow(images, lambda image: image.convert("L").convert("RGB")))


def test_per_image_parameters(images: Any) -> None:
    factors = torch.linspace(0.1, 1.9, len(images), dtype=torch.float64)
    together = color.contrast(images, factors)
    alone = torch.cat([color.contrast(images[i : i + 1], factors[i : i + 1]) for i in range(len(images))])
    assert_equal(together, alone)


@pytest.mark.parametrize("operation", [color.autocontrast, color.equalize, color.invert, color.grayscale])
def test_empty_batch_and_unmodified_input(images: Any, operation: Any) -> None:
    before = images.clone()
    operation(images)
    assert_equal(images, before)
    assert operation(images[:0]).shape == images[:0].shape
