"""Tests of the interface of all policies, and of the statistics of crop, flip and Cutout."""

from typing import Any

import pytest
import torch
from pillow_reference import assert_equal
from yacs.config import CfgNode

from longtail.data.augment import POLICIES, Cutout, RandomCrop, RandomFlip, build_policy
from longtail.data.augment.simclr import ColorJitter, RandomBlur, RandomGrayscale, RandomResizedCrop
from longtail.data.augment.transforms import RandomResizedCropTo
from longtail.errors import UserError


@pytest.fixture
def cfg() -> CfgNode:
    return CfgNode(
        {
            "INPUT_SIZE": (32, 32),
            "TRANSFORMS": {
                "TRAIN_TRANSFORMS": ("random_resized_crop", "random_horizontal_flip"),
                "TEST_TRANSFORMS": ("shorter_resize_for_crop", "center_crop"),
                "PROCESS_DETAIL": {
                    "RANDOM_CROP": {"PADDING": 4},
                    "RANDOM_RESIZED_CROP": {"SCALE": (0.08, 1.0), "RATIO": (0.75, 1.333333333)},
                },
            },
        }
    )


NAMES = [
    "none",
    "crop",
    "crop_flip",
    "autoaugment",
    "simclr",
    "supcon",
    "randaugment",
    "regular",
    "simclr_imagenet",
    "moco_v2",
    "transforms",
]


def noise(count: int, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(9))


def test_policy_names() -> None:
    assert set(NAMES) <= set(POLICIES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [0, 1, 2, 65])
def test_policy_shape_dtype_and_unmodified_input(cfg: Any, name: Any, count: Any, generator: Any) -> None:
    images = noise(count)
    before = images.clone()
    result = build_policy(name, cfg)(images, generator)
    assert result.dtype == torch.uint8
    assert result.shape == images.shape
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_policy_depends_only_on_generator(cfg: Any, name: Any) -> None:
    images, policy = noise(40), build_policy(name, cfg)
    torch.manual_seed(1)
    first = policy(images, torch.Generator().manual_seed(7))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert_equal(policy(images, torch.Generator().manual_seed(7)), first)
    assert torch.equal(torch.get_rng_state(), state)
    if name != "none":
        assert not torch.equal(policy(images, torch.Generator().manual_seed(8)), first)


@pytest.mark.parametrize("name", NAMES)
def test_policy_generator_state_independent_of_content(cfg: Any, name: Any) -> None:
    policy = build_policy(name, cfg)
    ends = []
    for images in (noise(20), torch.zeros(20, 3, 32, 32, dtype=torch.uint8)):
        generator = torch.Generator().manual_seed(4)
        policy(images, generator)
        ends.append(generator.get_state())
    assert torch.equal(*ends)


@pytest.mark.parametrize("name", NAMES)
def test_policy_invalid_input(cfg: Any, name: Any, generator: Any) -> None:
    policy = build_policy(name, cfg)
    with pytest.raises(TypeError, match="uint8"):
        policy(torch.rand(2, 3, 32, 32), generator)
    with pytest.raises(TypeError, match="tensor"):
        policy([1, 2], generator)  # type: ignore[arg-type]
    for shape in ((3, 32, 32), (2, 1, 32, 32), (2, 32, 32, 3)):
        with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
            policy(torch.zeros(shape, dtype=torch.uint8), generator)


def test_policy_non_contiguous_input(cfg: Any) -> None:
    images = noise(30).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    for name in NAMES:
        results = [build_policy(name, cfg)(x, torch.Generator().manual_seed(1)) for x in (images, images.contiguous())]
        assert torch.equal(*results)


def test_build_policy_unknown_name(cfg: Any) -> None:
    with pytest.raises(UserError, match="did you mean autoaugment"):
        build_policy("autoaugmnt", cfg)


@pytest.mark.slow
def test_random_crop_offsets_uniform(generator: Any) -> None:
    # One white pixel in the middle shows the position of each crop.
    images = torch.zeros(16_200, 3, 32, 32, dtype=torch.uint8)
    images[:, :, 16, 16] = 255
    places = RandomCrop(4)(images, generator)[:, 0].nonzero()[:, 1:]
    assert len(places) == len(images)
    counts = torch.bincount((places[:, 0] - 12) * 9 + places[:, 1] - 12, minlength=81)
    assert len(counts) == 81
    chi_square = ((counts - 200.0) ** 2 / 200).sum().item()
    assert chi_square < 145  # 80 degrees of freedom: exceeded with probability 1e-5


def test_random_crop_pads_with_black(generator: Any) -> None:
    white = torch.full((500, 3, 32, 32), 255, dtype=torch.uint8)
    result = RandomCrop(4)(white, generator)
    assert set(result.unique().tolist()) == {0, 255}
    assert (result == 255).flatten(1).sum(1).min() == 3 * 28 * 28


def test_random_flip_rate(generator: Any) -> None:
    images = noise(10_000, 4)
    flipped = (RandomFlip()(images, generator) == images.flip(-1)).flatten(1).all(1).float().mean().item()
    assert flipped == pytest.approx(0.5, abs=0.025)


@pytest.mark.slow
def test_cutout_areas(generator: Any) -> None:
    white = torch.full((20_000, 3, 32, 32), 255, dtype=torch.uint8)
    black = (Cutout(16)(white, generator) == 0).float()
    assert torch.equal(black[:, 0], black[:, 1])
    areas = black[:, 0].sum((1, 2))
    assert areas.min() == 8 * 8
    assert areas.max() == 16 * 16
    # Along one axis a center c leaves min(c, 8) + min(32 - c, 8) pixels: 14.0 on average.
    side = sum(min(c, 8) + min(32 - c, 8) for c in range(32)) / 32
    assert areas.mean().item() == pytest.approx(side**2, rel=0.01)
    whole = (areas == 256).float().mean().item()
    assert whole == pytest.approx((17 / 32) ** 2, abs=0.018)


@pytest.mark.parametrize("size", [(8, 24), (24, 8)])
def test_cutout_center_is_anywhere_in_an_oblong_image(size: tuple[int, int], generator: Any) -> None:
    holes = Cutout(2)(torch.full((2000, 3, *size), 255, dtype=torch.uint8), generator)[:, 0] == 0
    assert holes.any(0).all()  # every pixel was covered
    assert holes.any(2).any(1).all()  # by a center inside of the image


def test_random_crop_too_large(generator: Any) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        RandomCrop(1, (40, 40))(noise(2), generator)


# The steps of each policy, from the released code. `regular`, `randaugment` and `simclr_imagenet` are NCL's for large
# images, `moco_v2` and `supcon` are SBCL's; "hue" is the jitter with hue, which is applied with probability 0.8.
CROP, LARGE, MILD = (4, None), ((32, 32), (0.08, 1.0)), ((32, 32), (0.2, 1.0))
FLIP, GRAY, BLUR = ("flip", 0.5), ("gray", 0.2), ("blur", 0.5, (0.1, 2.0))
BOUNDS = [(0.6, 1.4)] * 3
JITTER, HUE = ("jitter", 1.0, BOUNDS), ("jitter", 0.8, [*BOUNDS, (-0.1, 0.1)])
STEPS = {
    "none": [],
    "crop": [("crop", *CROP)],
    "crop_flip": [("crop", *CROP), FLIP],
    "autoaugment": [("crop", *CROP), FLIP, ("AutoAugment",), ("cutout", 16)],
    "simclr": [("box", (0.2, 1.0)), FLIP, HUE, GRAY, BLUR],
    "supcon": [("box", (0.2, 1.0)), FLIP, HUE, GRAY],
    "randaugment": [("box", *LARGE), FLIP, JITTER, ("RandAugment",)],
    "regular": [("box", *LARGE), FLIP, JITTER],
    "simclr_imagenet": [("box", *LARGE), JITTER, GRAY, BLUR, FLIP],
    "moco_v2": [("box", *MILD), HUE, GRAY, BLUR, FLIP],
    "transforms": [("box", *LARGE), FLIP, JITTER],
}


def described(step: Any) -> tuple[Any, ...]:
    """Return the kind of a step and its settings."""
    match step:
        case RandomCrop():
            return "crop", step.padding, step.size
        case RandomFlip():
            assert step.dim == -1
            return "flip", step.p
        case Cutout():
            return "cutout", step.length
        case RandomResizedCrop():
            return "box", ratio_checked(step).scale
        case RandomResizedCropTo():
            return "box", step.size, ratio_checked(step).scale
        case ColorJitter():
            bounds = [(pytest.approx(low), pytest.approx(high)) for low, high in step._bounds]
            return "jitter", step.p, bounds
        case RandomGrayscale():
            return "gray", step.p
        case RandomBlur():
            return "blur", step.p, step.radius
        case _:
            return (type(step).__name__,)


def ratio_checked(step: Any) -> Any:
    assert step.ratio == pytest.approx((3 / 4, 4 / 3))
    return step


@pytest.mark.parametrize("name", NAMES)
def test_policies_have_the_released_steps(cfg: Any, name: str) -> None:
    cfg.TRANSFORMS.TRAIN_TRANSFORMS = ("random_resized_crop", "random_horizontal_flip", "color_jitter")
    assert [described(step) for step in build_policy(name, cfg).steps] == STEPS[name]  # type: ignore[attr-defined]
