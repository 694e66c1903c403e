"""Tests of the position of evaluation views in their images, and of resampling maps to the images."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from longtail.config import load_config
from longtail.data.augment import build_policy, build_transforms
from longtail.data.augment.placement import Axis, map_to_image, view_axes
from longtail.errors import UserError


def chain(*names: Any, size: Any = (32, 32)) -> Any:
    return build_transforms(names, load_config(None, ["INPUT_SIZE", size]))


def axes_of(policy: Any, height: Any, width: Any) -> Any:
    return view_axes(policy, rows=Axis(height), columns=Axis(width))


def test_view_axes_identity() -> None:
    assert axes_of(build_policy("none", load_config()), 40, 30) == (Axis(40), Axis(30))


def test_view_axes_resized_center_crop() -> None:
    rows, columns = axes_of(chain("shorter_resize_for_crop", "center_crop"), 72, 108)  # to 36 x 54, then 32 x 32
    assert rows == Axis(32, 2.0, 4.0)
    assert columns == Axis(32, 2.0, 22.0)


@pytest.mark.parametrize("names", [("center_crop",), ("normal_resize",), ("shorter_resize_for_crop", "center_crop")])
@pytest.mark.parametrize("size", [(61, 47), (20, 90), (32, 32)])
def test_map_to_image_locates_bright_spot(names: Any, size: Any) -> None:
    height, width = size
    policy = chain(*names)
    rows, columns = axes_of(policy, height, width)
    row, column = height // 2 - 3, width // 2 + 2
    image = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    image[:, :, row - 2 : row + 3, column - 2 : column + 3] = 255
    view = policy(image, torch.Generator())[0, 0].float()
    assert view.shape == (rows.length, columns.length)
    image_map = map_to_image(view, rows=rows, columns=columns, size=size)
    inside = image_map * (image_map > 0.5 * image_map.max())
    top = (inside.sum(1) @ torch.arange(height).float()) / inside.sum()
    left = (inside.sum(0) @ torch.arange(width).float()) / inside.sum()
    assert abs(top - row) < 1.5 and abs(left - column) < 1.5


@pytest.mark.parametrize("size", [(32, 32), (37, 20), (8, 8), (5, 3)])
def test_map_to_image_equals_interpolate(size: Any) -> None:
    view = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(view[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    assert torch.allclose(map_to_image(view, rows=Axis(size[0]), columns=Axis(size[1]), size=size), expected, atol=1e-5)


def test_map_to_image_outside_view() -> None:
    view = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    image_map = map_to_image(view, rows=Axis(2, 1.0, 2.0), columns=Axis(2, 1.0, 1.0), size=(6, 4))
    assert image_map[:, 1:3].tolist() == [[1, 2]] * 3 + [[3, 4]] * 3
    assert image_map[:, 0].tolist() == image_map[:, 1].tolist() and image_map[:, 3].tolist() == image_map[:, 2].tolist()


def test_view_axes_random_step() -> None:
    with pytest.raises(
        UserError, match="RandomFlip does not have a known position in its image; allowed: normal_resize, "
    ):
        axes_of(chain("normal_resize", "random_horizontal_flip"), 40, 40)
