"""New images against hand-made maps: threshold, box, the three operations, composition."""

import numpy as np
import pytest
import torch

from longtail.data.cam.images import OPERATIONS, Box, Transform, bounding_box, center_of, foreground, paste_foreground


def cam_of(rows, columns, size=(32, 32)):
    """Return a map that is 1 on a rectangle (first and last within) and 0 elsewhere."""
    cam = torch.zeros(size)
    cam[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 1
    return cam


def picture(size=(32, 32), seed=0):
    """Return random colours without a zero."""
    return torch.randint(1, 256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def differing(first, second):
    """Return rows and columns where two images differ."""
    return (first != second).any(0).nonzero()


def test_foreground_reaches_three_quarters_of_the_mean():
    cam = np.array([[0.0, 0.29, 0.30, 1.0]])  # mean 0.3975, threshold 0.298
    assert foreground(cam).tolist() == [[False, False, True, True]]


def test_a_flat_map_is_all_foreground():
    assert foreground(np.zeros((3, 4))).all()


def test_the_box_holds_the_whole_object_or_its_corner_as_released():
    mask = cam_of((10, 20), (8, 24)).numpy() > 0
    assert bounding_box(mask) == Box(10, 20, 8, 24)
    assert center_of(bounding_box(mask)) == (16, 15)
    assert bounding_box(mask, released=True) == Box(10, 11, 8, 9)
    assert center_of(bounding_box(mask, released=True)) == (8.5, 10.5)


def test_the_box_reaches_over_gaps_and_the_released_one_ends_at_the_second_filled_row():
    mask = np.zeros((9, 9), dtype=bool)
    mask[[2, 5, 7], [1, 4, 4]] = True
    assert bounding_box(mask) == Box(2, 7, 1, 4)
    assert bounding_box(mask, released=True) == Box(2, 5, 1, 4)


def test_the_box_of_one_pixel():
    mask = np.zeros((5, 6), dtype=bool)
    mask[2, 3] = True
    assert bounding_box(mask) == Box(2, 2, 3, 3)
    assert bounding_box(mask, released=True) == Box(2, -1, 3, -1)


def test_mirroring_pastes_the_object_on_the_other_side():
    image, cam = picture((4, 6)), cam_of((1, 2), (0, 1), (4, 6))
    expected = image.clone()
    expected[:, 1:3, 4:6] = image[:, 1:3, [1, 0]]
    assert torch.equal(paste_foreground(image, cam, transform=Transform("flip")), expected)


def test_as_released_the_moved_image_also_shows_where_the_object_was():
    image, cam = picture((4, 6)), cam_of((1, 2), (0, 1), (4, 6))
    image[:, 1, 1] = torch.tensor([0, 7, 8], dtype=torch.uint8)  # black in one channel
    flipped = image.flip(2)
    expected = image.clone()
    expected[:, 1:3, 4:6] = flipped[:, 1:3, 4:6]
    expected[:, 1:3, 0:2] = flipped[:, 1:3, 0:2]
    expected[0, 1, 4] = image[0, 1, 4]  # a zero lets the original through
    assert torch.equal(paste_foreground(image, cam, transform=Transform("flip"), released=True), expected)


@pytest.mark.parametrize(("down", "right"), [(0.0, 0.0), (0.999, 0.999), (0.999, 0.0), (0.4, 0.6)])
def test_shifting_keeps_the_object_in_the_image(down, right):
    image, cam = picture((20, 30)), cam_of((3, 7), (10, 20), (20, 30))
    top, left = int(down * 16), int(right * 20)  # 16 and 20 places of a 5 x 11 box
    expected = image.clone()
    expected[:, top : top + 5, left : left + 11] = image[:, 3:8, 10:21]
    assert torch.equal(paste_foreground(image, cam, transform=Transform("translate", down=down, right=right)), expected)


def test_a_foreground_without_room_is_turned_instead_of_shifted():
    image, cam = picture((12, 12)), torch.ones(12, 12)
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


def test_as_released_shifting_pushes_the_object_out():
    image, cam = picture(), cam_of((10, 20), (8, 24))
    made = paste_foreground(image, cam, transform=Transform("translate", down=0.999, right=0.999), released=True)
    expected = image.clone()
    # Its box is rows 10 to 11, columns 8 to 9: the corner goes to (30, 30) and takes 2 x 2 pixels along.
    expected[:, 30:, 30:] = image[:, 10:12, 8:10]
    expected[:, 20, 22:25] = image[:, 0, :3]  # what came into the place of the object
    assert torch.equal(made, expected)


def test_turning_by_nothing_changes_nothing():
    image = picture((9, 13))
    assert torch.equal(paste_foreground(image, cam_of((2, 5), (3, 9), (9, 13)), transform=Transform("rotate")), image)


def test_turning_goes_counter_clockwise_about_the_middle_of_the_object():
    image = torch.full((3, 33, 33), 50, dtype=torch.uint8)
    image[:, 10, 10:21] = 200  # a bar, middle (15, 10)
    cam = cam_of((10, 10), (10, 20), (33, 33))
    made = paste_foreground(image, cam, transform=Transform("rotate", angle=44, scale=1.0))
    rows, columns = differing(image, made).unbind(1)
    assert len(rows) > 4
    assert ((rows < 10) == (columns > 15)).all()  # the right end went up, the left one down
    assert (rows - 10).abs().max() <= 5 and (columns - 15).abs().max() <= 5


def test_scaling_grows_the_object_about_its_middle():
    image = torch.full((3, 33, 33), 50, dtype=torch.uint8)
    image[:, 6:17, 11:22] = 200
    made = paste_foreground(image, cam_of((6, 16), (11, 21), (33, 33)), transform=Transform("rotate", scale=1.19))
    rows, columns = differing(image, made).unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 17, 10, 22)
    grown = (made[0] > 125).nonzero()
    assert grown.float().mean(0).tolist() == [11, 16]


def test_turning_matches_the_matrix_of_the_movement():
    """Every pixel of the turned picture comes from where the inverse of p -> c + s R (p - c) says."""
    height, width, angle, scale = 24, 40, 30, 0.85
    rows, columns = np.mgrid[:height, :width]
    ramp = np.stack((rows * 4, columns * 4, rows + columns), 2).astype(np.uint8)
    box = Box(6, 15, 10, 21)
    turned = OPERATIONS["rotate"](ramp, box, Transform("rotate", angle, scale)).astype(float)
    x, y = center_of(box)
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    # In image coordinates (y down) a counter-clockwise turn is [[cos, sin], [-sin, cos]]; its inverse is transposed.
    from_x = x + (cos * (columns - x) - sin * (rows - y)) / scale
    from_y = y + (sin * (columns - x) + cos * (rows - y)) / scale
    inside = (from_x >= 0) & (from_x <= width - 1) & (from_y >= 0) & (from_y <= height - 1)
    assert inside.sum() > 400
    assert np.abs(turned[..., 0] - from_y * 4)[inside].max() <= 1
    assert np.abs(turned[..., 1] - from_x * 4)[inside].max() <= 1


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (7, 19), (1, 1), (3, 1)])
def test_images_of_any_size_keep_it_and_the_original_is_left_alone(operation, released, size):
    image = picture(size)
    cam = torch.rand(size, generator=torch.Generator().manual_seed(1))
    before = image.clone()
    made = paste_foreground(image, cam, transform=Transform(operation, 30, 0.9, 0.5, 0.5), released=released)
    assert made.shape == image.shape and made.dtype == torch.uint8 and made.is_contiguous()
    assert torch.equal(image, before)


def test_grey_images_stay_grey():
    grey = picture((16, 16))[:1].expand(3, -1, -1)
    for operation in OPERATIONS:
        made = paste_foreground(
            grey, cam_of((4, 9), (3, 8), (16, 16)), transform=Transform(operation, 20, 1.1, 0.3, 0.7)
        )
        assert torch.equal(made[0], made[1]) and torch.equal(made[0], made[2])
