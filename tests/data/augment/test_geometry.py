"""Tests of geometric operations: bit-identical to Pillow."""

from typing import Any

import pytest
import torch
from PIL import Image, ImageOps
from pillow_reference import GRAY, assert_equal, map_pillow, rotate_with_gray

from longtail.data.augment import geometry


def repeated(images: torch.Tensor, value: float) -> torch.Tensor:
    return torch.full((len(images),), value, dtype=torch.float64)


@pytest.mark.parametrize("angle", [index * 30 / 9 for index in range(10)] + [-10.0, -29.9, 17.3, 44.1])
def test_rotate(images: Any, angle: Any) -> None:
    ours = geometry.rotate(images, repeated(images, angle))
    assert_equal(ours, map_pillow(images, lambda image: rotate_with_gray(image, angle)))


def test_rotate_fill(images: Any) -> None:
    ours = geometry.rotate(images, repeated(images, -21.7), fill=0)
    assert_equal(ours, map_pillow(images, lambda image: image.rotate(-21.7)))


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("index", range(10))
@pytest.mark.parametrize("dim", [-1, -2])
def test_shear(images: Any, index: Any, sign: Any, dim: Any) -> None:
    slope = index * 0.3 / 9 * sign
    matrix = (1, slope, 0, 0, 1, 0) if dim == -1 else (1, 0, 0, slope, 1, 0)
    expected = map_pillow(
        images,
        lambda image: image.transform(
            image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=GRAY
        ),
    )
    assert_equal(geometry.shear(images, repeated(images, slope), dim=dim), expected)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("index", range(10))
@pytest.mark.parametrize("dim", [-1, -2])
def test_translate(images: Any, index: Any, sign: Any, dim: Any) -> None:
    shift = index * (150 / 331 / 9) * images.shape[dim] * sign
    matrix = (1, 0, shift, 0, 1, 0) if dim == -1 else (1, 0, 0, 0, 1, shift)
    expected = map_pillow(
        images, lambda image: image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=GRAY)
    )
    assert_equal(geometry.translate(images, repeated(images, shift), dim=dim), expected)


@pytest.mark.parametrize("shift", [-60.0, -0.5, 0.5, 60.0])
def test_translate_fractional_and_large(images: Any, shift: Any) -> None:
    expected = map_pillow(
        images,
        lambda image: image.transform(image.size, Image.Transform.AFFINE, (1, 0, shift, 0, 1, 0), fillcolor=GRAY),
    )
    assert_equal(geometry.translate(images, repeated(images, shift), dim=-1), expected)


def test_window_equals_pillow_crop(images: Any) -> None:
    height, width = images.shape[2:]
    tops = torch.arange(len(images)) % 9 - 4
    lefts = torch.arange(len(images)) * 5 % 9 - 4
    ours = geometry.window(images, tops=tops, lefts=lefts, size=(height, width), reach=(4, 4))
    for image, top, left, window in zip(images, tops.tolist(), lefts.tolist(), ours, strict=True):
        box = (left, top, left + width, top + height)
        assert_equal(window[None], map_pillow(image[None], lambda image, box=box: image.crop(box)))


def test_flip(images: Any) -> None:
    chosen = torch.arange(len(images)) % 3 == 0
    sideways = geometry.flip(images, chosen)
    assert_equal(sideways[chosen], map_pillow(images[chosen], ImageOps.mirror))
    assert_equal(sideways[~chosen], images[~chosen])
    assert_equal(geometry.flip(images, chosen, dim=-2)[chosen], map_pillow(images[chosen], ImageOps.flip))


def test_cutout_clipped_at_border(images: Any) -> None:
    height, width = images.shape[2:]
    whites = torch.full_like(images, 255)
    rows = torch.arange(len(images)) * 5 % height
    columns = torch.arange(len(images)) * 7 % width
    holes = geometry.cutout(whites, rows=rows, columns=columns, length=16)
    for hole, row, column in zip(holes, rows.tolist(), columns.tolist(), strict=True):
        expected = torch.full_like(hole, 255)
        expected[:, max(row - 8, 0) : row + 8, max(column - 8, 0) : column + 8] = 0
        assert_equal(hole, expected)


def test_empty_batch_and_unmodified_input(images: Any) -> None:
    before, none = images.clone(), images[:0]
    zero = torch.zeros(0, dtype=torch.int64)
    for result in (
        geometry.rotate(none, zero),
        geometry.shear(none, zero, dim=-1),
        geometry.translate(none, zero, dim=-2),
        geometry.flip(none, zero.bool()),
        geometry.cutout(none, rows=zero, columns=zero, length=16),
        geometry.window(none, tops=zero, lefts=zero, size=tuple(images.shape[2:]), reach=(4, 4)),
    ):
        assert result.shape == none.shape
    geometry.flip(images, torch.ones(len(images), dtype=torch.bool))
    geometry.cutout(images, rows=torch.zeros(len(images)), columns=torch.zeros(len(images)), length=16)
    assert_equal(images, before)
