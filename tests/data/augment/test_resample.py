"""Tests of resizing, blur and hue against Pillow and torchvision."""

from typing import Any

import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image, ImageFilter
from pillow_reference import assert_equal, from_pillow, map_pillow, to_pillow

from longtail.data.augment.hue import _to_hsv, _to_rgb, shift_hue
from longtail.data.augment.resample import enlarge_boxes, gaussian_blur, resize


def test_enlarge_boxes_equals_pillow(images: Any, generator: Any) -> None:
    height, width = images.shape[2:]
    many = images.repeat(10, 1, 1, 1)
    tall = torch.randint(1, height + 1, (len(many),), generator=generator)
    wide = torch.randint(1, width + 1, (len(many),), generator=generator)
    tall[:3], wide[:2] = height, width
    top = (torch.rand(len(many), generator=generator) * (height - tall + 1)).long()
    left = (torch.rand(len(many), generator=generator) * (width - wide + 1)).long()
    boxes = torch.stack((top, left, tall, wide), 1)
    expected = [
        from_pillow(to_pillow(image).crop((x, y, x + w, y + h)).resize((width, height), Image.Resampling.BILINEAR))
        for image, (y, x, h, w) in zip(many, boxes.tolist(), strict=True)
    ]
    assert_equal(enlarge_boxes(many, boxes), torch.stack(expected))


@pytest.mark.parametrize("size", [(16, 16), (64, 50), (30, 90), (1, 1), (1, 7)])
def test_resize_within_one_gray_level_of_pillow(images: Any, size: Any) -> None:
    expected = map_pillow(images, lambda image: image.resize(size[::-1], Image.Resampling.BILINEAR))
    assert (resize(images, size).int() - expected.int()).abs().max() <= 1


def test_gaussian_blur_equals_pillow(images: Any) -> None:
    many = images.repeat(12, 1, 1, 1)
    radii = torch.linspace(0.0, 3.5, len(many), dtype=torch.float64)
    expected = [
        from_pillow(to_pillow(image).filter(ImageFilter.GaussianBlur(radius)))
        for image, radius in zip(many, radii.tolist(), strict=True)
    ]
    assert_equal(gaussian_blur(many, radii), torch.stack(expected))


def test_shift_hue_equals_torchvision(images: Any) -> None:
    many = images.repeat(4, 1, 1, 1)
    shifts = torch.linspace(-0.5, 0.5, len(many), dtype=torch.float64)
    expected = [
        from_pillow(TF.adjust_hue(to_pillow(image), shift)) for image, shift in zip(many, shifts.tolist(), strict=True)
    ]
    assert_equal(shift_hue(many, shifts), torch.stack(expected))


def test_hsv_equals_pillow_on_color_grid() -> None:
    axis = torch.tensor([*range(0, 256, 5), 1, 2, 254])
    colors = torch.cartesian_prod(axis, axis, axis).T.reshape(1, 3, len(axis), -1).to(torch.uint8)
    hsv = torch.stack(_to_hsv(colors), 1).to(torch.uint8)
    assert_equal(hsv, map_pillow(colors, lambda image: image.convert("HSV")))
    planes = [Image.fromarray(plane.numpy()) for plane in colors[0]]
    back = from_pillow(Image.merge("HSV", planes).convert("RGB"))
    assert_equal(_to_rgb(*colors.int().unbind(1)), back[None])


def test_resample_empty_batch() -> None:
    none = torch.zeros(0, 3, 8, 9, dtype=torch.uint8)
    assert enlarge_boxes(none, torch.zeros(0, 4, dtype=torch.int64)).shape == none.shape
    assert gaussian_blur(none, torch.zeros(0)).shape == none.shape
    assert shift_hue(none, torch.zeros(0)).shape == none.shape
    assert resize(none, (4, 4)).shape == (0, 3, 4, 4)
