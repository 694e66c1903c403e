"""Tests of the transforms in the released configs against torchvision on PIL images."""

from typing import Any

import pytest
import torch
import torchvision.transforms as T
from pillow_reference import assert_equal, from_pillow, map_pillow, to_pillow
from yacs.config import CfgNode

from longtail.data.augment import TRANSFORMS, build_policy, build_transforms, evaluation_transforms
from longtail.data.augment.batch import uniform
from longtail.data.augment.simclr import random_boxes
from longtail.data.augment.transforms import ResizeShorter
from longtail.errors import UserError


def config(train: Any = (), test: Any = (), size: Any = (32, 32)) -> CfgNode:
    detail = {
        "RANDOM_CROP": {"PADDING": 4},
        "RANDOM_RESIZED_CROP": {"SCALE": (0.08, 1.0), "RATIO": (0.75, 1.333333333)},
    }
    lists = {"TRAIN_TRANSFORMS": train, "TEST_TRANSFORMS": test, "PROCESS_DETAIL": detail}
    return CfgNode({"INPUT_SIZE": size, "TRANSFORMS": lists})


@pytest.fixture
def picture(generator: Any) -> torch.Tensor:
    coarse = torch.rand(1, 3, 12, 16, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=(90, 131), mode="bicubic")
    return smooth.clamp(0, 255).to(torch.uint8)


RELEASED = [
    "random_resized_crop",
    "random_crop",
    "random_horizontal_flip",
    "random_vertical_flip",
    "random_rotation10",
    "random_rotation20",
    "random_rotation30",
    "shorter_resize_for_crop",
    "normal_resize",
    "center_crop",
    "normalize",
    "color_jitter",
]


@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_build_transforms_released_names(name: Any, count: Any, generator: Any) -> None:
    images = torch.randint(0, 256, (count, 3, 40, 50), dtype=torch.uint8)
    before = images.clone()
    result = build_transforms([name], config())(images, generator)
    assert result.dtype == torch.uint8
    assert result.shape[:2] == (count, 3)
    assert torch.equal(images, before)
    if name in ("random_resized_crop", "random_crop", "normal_resize", "center_crop"):
        assert result.shape[2:] == (32, 32)
    assert set(RELEASED) == set(TRANSFORMS)


@pytest.mark.parametrize(("side", "shorter"), [(56, 64), (48, 54)])
def test_evaluation_transforms_close_to_torchvision(picture: Any, generator: Any, side: int, shorter: int) -> None:
    cfg = config(test=("shorter_resize_for_crop", "center_crop"), size=(side, side))
    for image in (picture, picture.transpose(2, 3)):
        ours = evaluation_transforms(cfg)(image, generator)
        theirs = T.Compose([T.Resize(shorter), T.CenterCrop(side)])(to_pillow(image[0]))
        assert (ours[0].int() - from_pillow(theirs).int()).abs().max() <= 1


@pytest.mark.parametrize("size", [(32, 32), (33, 48), (91, 132), (120, 33), (95, 140)])
def test_center_crop_equals_torchvision(picture: Any, size: Any, generator: Any) -> None:
    ours = build_transforms(["center_crop"], config(size=size))(picture, generator)
    assert_equal(ours, map_pillow(picture, T.CenterCrop(size)))


def test_random_resized_crop_close_to_torchvision(picture: Any) -> None:
    cfg = config(train=["random_resized_crop"], size=(48, 48))
    ours = build_policy("transforms", cfg)(picture, torch.Generator().manual_seed(6))
    boxes = random_boxes(
        1, (90, 131), scale=(0.08, 1.0), ratio=(0.75, 1.333333333), generator=torch.Generator().manual_seed(6)
    )
    theirs = T.functional.resized_crop(to_pillow(picture[0]), *boxes[0].tolist(), [48, 48])
    assert (ours[0].int() - from_pillow(theirs).int()).abs().max() <= 1


def test_random_rotation_equals_pillow(images: Any) -> None:
    ours = build_transforms(["random_rotation30"], config())(images, torch.Generator().manual_seed(2))
    angles = uniform((len(images),), generator=torch.Generator().manual_seed(2), low=-30, high=30).tolist()
    theirs = [from_pillow(to_pillow(image).rotate(angle)) for image, angle in zip(images, angles, strict=True)]
    assert_equal(ours, torch.stack(theirs))


def test_normalize_transform_is_identity(images: Any, generator: Any) -> None:
    assert_equal(build_transforms(["normalize"], config())(images, generator), images)


def test_build_transforms_unknown_name() -> None:
    with pytest.raises(UserError, match="did you mean random_crop"):
        build_policy("transforms", config(train=("random_crp",)))


def test_shorter_resize_requires_square_input_size() -> None:
    with pytest.raises(UserError, match="square"):
        evaluation_transforms(config(test=("shorter_resize_for_crop",), size=(32, 48)))


def test_shorter_resize_refuses_a_line_of_pixels() -> None:
    line = torch.zeros(1, 3, 1, 60_000, dtype=torch.uint8)
    with pytest.raises(UserError, match="an image of 1 x 60000 pixels is too long: with a shorter side of 256 it has"):
        ResizeShorter(256)(line, torch.Generator())
