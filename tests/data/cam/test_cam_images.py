"""Tests of pasting foregrounds of hand-made maps: threshold, box, operations, composition."""

from typing import Any

import numpy as np
import pytest
import torch

from longtail.data.cam.images import OPERATIONS, Box, Transform, bounding_box, center_of, foreground, paste_foreground


def cam_of(rows: Any, columns: Any, size: Any = (32, 32)) -> Any:
    """Return a map that is 1 on a rectangle (bounds inclusive) and 0 elsewhere."""
    cam = torch.zeros(size)
    cam[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 1
    return cam


def random_image(size: Any = (32, 32), seed: Any = 0) -> Any:
    """Return an image of random nonzero values."""
    return torch.randint(1, 256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def differing(first: Any, second: Any) -> Any:
    """Return rows and columns where two images differ."""
    return (first != second).any(0).nonzero()


def test_foreground_threshold() -> None:
    cam = np.array([[0.0, 0.29, 0.30, 1.0]])  # mean 0.3975, threshold 0.298
    assert foreground(cam).tolist() == [[False, False, True, True]]


def test_foreground_constant_map() -> None:
    assert foreground(np.zeros((3, 4))).all()


def test_bounding_box_of_rectangle() -> None:
    mask = cam_of((10, 20), (8, 24)).numpy() > 0
    assert bounding_box(mask) == Box(10, 20, 8, 24)
    assert center_of(bounding_box(mask)) == (16, 15)
    assert bounding_box(mask, released=True) == Box(10, 11, 8, 9)
    assert center_of(bounding_box(mask, released=True)) == (8.5, 10.5)


def test_bounding_box_with_gaps() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[[2, 5, 7], [1, 4, 4]] = True
    assert bounding_box(mask) == Box(2, 7, 1, 4)
    assert bounding_box(mask, released=True) == Box(2, 5, 1, 4)


def test_bounding_box_of_one_pixel() -> None:
    mask = np.zeros((5, 6), dtype=bool)
    mask[2, 3] = True
    assert bounding_box(mask) == Box(2, 2, 3, 3)
    assert bounding_box(mask, released=True) == Box(2, -1, 3, -1)


def test_flip() -> None:
    image, cam = random_image((4, 6)), cam_of((1, 2), (0, 1), (4, 6))
    expected = image.clone()
    expected[:, 1:3, 4:6] = image[:, 1:3, [1, 0]]
    assert torch.equal(paste_foreground(image, cam, transform=Transform("flip")), expected)


def test_flip_released() -> None:
    image, cam = random_image((4, 6)), cam_of((1, 2), (0, 1), (4, 6))
    image[:, 1, 1] = torch.tensor([0, 7, 8], dtype=torch.uint8)  # black in one channel
    flipped = image.flip(2)
    expected = image.clone()
    expected[:, 1:3, 4:6] = flipped[:, 1:3, 4:6]
    expected[:, 1:3, 0:2] = flipped[:, 1:3, 0:2]
    expected[0, 1, 4] = image[0, 1, 4]  # the original is shown where a channel is zero
    assert torch.equal(paste_foreground(image, cam, transform=Transform("flip"), released=True), expected)


@pytest.mark.parametrize(("down", "right"), [(0.0, 0.0), (0.999, 0.999), (0.999, 0.0), (0.4, 0.6)])
def test_translate_keeps_object_in_image(down: Any, right: Any) -> None:
    image, cam = random_image((20, 30)), cam_of((3, 7), (10, 20), (20, 30))
    top, left = int(down * 16), int(right * 20)  # 16 x 20 positions of a 5 x 11 box
    expected = image.clone()
    expected[:, top : top + 5, left : left + 11] = image[:, 3:8, 10:21]
    assert torch.equal(paste_foreground(image, cam, transform=Transform("translate", down=down, right=right)), expected)


def test_translate_rotates_foreground_that_fills_image() -> None:
    image, cam = random_image((12, 12)), torch.ones(12, 12)
    cam[5:7, 5:7] = 0
    transform = Transform("translate", 20, 1.1, 0.5, 0.5)
    assert torch.equal(
        paste_foreground(image, cam, transform=transform),
        paste_foreground(image, cam, transform=transform._replace(operation="rotate")),
    )
    cam[11] = 0
    expected = image.clone()
    expected[:, 1:] = torch.where(cam[:11] > 0, image[:, :11], image[:, 1:])
    assert torch.equal(paste_foreground(image, cam, transform=transform._replace(down=0.99)), expected)


def test_translate_released() -> None:
    image, cam = random_image(), cam_of((10, 20), (8, 24))
    made = paste_foreground(image, cam, transform=Transform("translate", down=0.999, right=0.999), released=True)
    expected = image.clone()
    # The box is rows 10 to 11, columns 8 to 9: its corner moves to (30, 30), so 2 x 2 pixels stay in the image.
    expected[:, 30:, 30:] = image[:, 10:12, 8:10]
    expected[:, 20, 22:25] = image[:, 0, :3]  # pixels that moved to the place of the object
    assert torch.equal(made, expected)


def test_rotate_identity() -> None:
    image = random_image((9, 13))
    assert torch.equal(paste_foreground(image, cam_of((2, 5), (3, 9), (9, 13)), transform=Transform("rotate")), image)


def test_rotate_counter_clockwise_about_object_center() -> None:
    image = torch.full((3, 33, 33), 50, dtype=torch.uint8)
    image[:, 10, 10:21] = 200  # a bar with center (15, 10)
    cam = cam_of((10, 10), (10, 20), (33, 33))
    made = paste_foreground(image, cam, transform=Transform("rotate", angle=44, scale=1.0))
    rows, columns = differing(image, made).unbind(1)
    assert len(rows) > 4
    assert ((rows < 10) == (columns > 15)).all()  # the right end moves up, the left end down
    assert (rows - 10).abs().max() <= 5 and (columns - 15).abs().max() <= 5


def test_rotate_scale() -> None:
    image = torch.full((3, 33, 33), 50, dtype=torch.uint8)
    image[:, 6:17, 11:22] = 200
    made = paste_foreground(image, cam_of((6, 16), (11, 21), (33, 33)), transform=Transform("rotate", scale=1.19))
    rows, columns = differing(image, made).unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 17, 10, 22)
    grown = (made[0] > 125).nonzero()
    assert grown.float().mean(0).tolist() == [11, 16]


def test_rotate_matches_rotation_matrix() -> None:
    """Each pixel of the rotated image comes from the inverse of p -> c + s R (p - c)."""
    height, width, angle, scale = 24, 40, 30, 0.85
    rows, columns = np.mgrid[:height, :width]
    ramp = np.stack((rows * 4, columns * 4, rows + columns), 2).astype(np.uint8)
    box = Box(6, 15, 10, 21)
    rotated = OPERATIONS["rotate"](ramp, box, Transform("rotate", angle, scale)).astype(float)
    x, y = center_of(box)
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    # With y pointing down, a counter-clockwise rotation is [[cos, sin], [-sin, cos]]; its inverse is the transpose.
    from_x = x + (cos * (columns - x) - sin * (rows - y)) / scale
    from_y = y + (sin * (columns - x) + cos * (rows - y)) / scale
    inside = (from_x >= 0) & (from_x <= width - 1) & (from_y >= 0) & (from_y <= height - 1)
    assert inside.sum() > 400
    assert np.abs(rotated[..., 0] - from_y * 4)[inside].max() <= 1
    assert np.abs(rotated[..., 1] - from_x * 4)[inside].max() <= 1


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (7, 19), (1, 1), (3, 1)])
def test_paste_foreground_any_size_and_unmodified_input(operation: Any, released: Any, size: Any) -> None:
    image = random_image(size)
    cam = torch.rand(size, generator=torch.Generator().manual_seed(1))
    before = image.clone()
    made = paste_foreground(image, cam, transform=Transform(operation, 30, 0.9, 0.5, 0.5), released=released)
    assert made.shape == image.shape and made.dtype == torch.uint8 and made.is_contiguous()
    assert torch.equal(image, before)


def test_paste_foreground_gray_images() -> None:
    gray = random_image((16, 16))[:1].expand(3, -1, -1)
    for operation in OPERATIONS:
        made = paste_foreground(
            gray, cam_of((4, 9), (3, 8), (16, 16)), transform=Transform(operation, 20, 1.1, 0.3, 0.7)
        )
        assert torch.equal(made[0], made[1]) and torch.equal(made[0], made[2])
