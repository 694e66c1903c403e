"""Tests of RandAugment against timm with the same draws, its statistics, and the policies for large images."""

import math
import pickle
import random
from typing import Any

import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image, ImageFilter
from pillow_reference import assert_equal, from_pillow, map_pillow, to_pillow
from timm.data import auto_augment as timm_augment
from yacs.config import CfgNode

from longtail.data.augment import RandAugment, build_policy
from longtail.data.augment.batch import uniform
from longtail.data.augment.randaugment import FILL, OPERATIONS, SIGNED
from longtail.data.augment.transforms import RandomResizedCropTo

NAMES = list(OPERATIONS)
KINDS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
GEOMETRIC = SIGNED


def by_timm(image: Any, name: Any, level: Any, kind: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Apply an operation of timm with a given magnitude, sign and resampling."""
    operation = timm_augment.AugmentOp(name, prob=1.0, magnitude=abs(level) * 10, hparams={"img_mean": FILL})
    monkeypatch.setattr(random, "random", lambda: 0.9 if level < 0 else 0.1)
    monkeypatch.setattr(random, "choice", lambda options: options[kind])
    return operation(image)


def test_operations_equal_timm_list() -> None:
    assert NAMES == timm_augment._RAND_TRANSFORMS
    policy = timm_augment.rand_augment_transform("rand-n2-m10-mstd0.5", {"img_mean": FILL})
    assert policy.num_layers == 2
    assert policy.choice_weights is None
    assert {operation.prob for operation in policy.ops} == {0.5}
    assert {operation.magnitude for operation in policy.ops} == {10}
    assert {operation.magnitude_std for operation in policy.ops} == {0.5}
    assert policy.ops[0].kwargs["resample"] == KINDS


@pytest.mark.parametrize("name", NAMES)
def test_operations_equal_timm(images: Any, name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for level in (0.3 if name == "Posterize" else 0.0, 0.3, 0.8437, 0.95, 1.0):  # 0 bits are not allowed in Pillow
        for sign in (-1, 1) if name in SIGNED else (1,):
            for kind in (0, 1) if name in GEOMETRIC else (0,):
                ours = map_pillow(
                    images, lambda image, level=level * sign, kind=kind: OPERATIONS[name](image, level, KINDS[kind])
                )
                theirs = map_pillow(
                    images, lambda image, level=level * sign, kind=kind: by_timm(image, name, level, kind, monkeypatch)
                )
                assert_equal(ours, theirs)


@pytest.mark.slow
def test_randaugment_equals_timm(images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    many, step = images.repeat(20, 1, 1, 1), RandAugment()
    draws = step.draw(len(many), torch.Generator().manual_seed(3))
    expected = []
    for image, codes, levels, kinds in zip(many, *(values.tolist() for values in draws), strict=True):
        picture = to_pillow(image)
        for code, level, kind in zip(codes, levels, kinds, strict=True):
            if code >= 0:
                picture = by_timm(picture, NAMES[code], level, kind, monkeypatch)
        expected.append(from_pillow(picture))
    assert_equal(step(many, torch.Generator().manual_seed(3)), torch.stack(expected))


def test_draw_statistics(generator: Any) -> None:
    count = 60_000
    codes, levels, resampling = RandAugment().draw(count, generator)
    assert codes.shape == levels.shape == resampling.shape == (count, 2)

    def near(observed: Any, rate: Any, number: Any = count) -> Any:
        return abs(observed.double().mean().item() - rate) < 5 * math.sqrt(rate * (1 - rate) / number)

    for slot in range(2):
        assert near(codes[:, slot] < 0, 0.5)
        for code in range(15):
            assert near(codes[:, slot] == code, 0.5 / 15)
        assert near(resampling[:, slot], 0.5)
    assert near((codes[:, 0] == codes[:, 1]) & (codes[:, 0] >= 0), 0.25 / 15)  # with replacement
    signed = torch.isin(codes, torch.tensor([NAMES.index(name) for name in SIGNED]))
    assert near(levels[signed] > 0, 0.5, int(signed.sum()))
    plain = levels[(codes >= 0) & ~signed]
    assert (plain > 0).all()
    # Half of the normal draws are clipped to the maximum; for the others, E|N(0, 0.05)| = 0.05 sqrt(2/pi).
    assert near(plain == 1, 0.5, len(plain))
    assert (1 - plain[plain < 1]).mean().item() == pytest.approx(0.05 * math.sqrt(2 / math.pi), rel=0.03)


def test_fill_is_imagenet_mean() -> None:
    white = Image.new("RGB", (20, 20), (255, 255, 255))
    moved = OPERATIONS["TranslateXRel"](white, 1.0, KINDS[0])
    assert moved.getpixel((19, 10)) == FILL == tuple(round(255 * mean) for mean in (0.485, 0.456, 0.406))


# ------------------------------------------------------------------ the policies


@pytest.fixture
def cfg() -> Any:
    return CfgNode({"INPUT_SIZE": (24, 40)})


@pytest.mark.parametrize("name", ["randaugment", "simclr_imagenet"])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("size", [(64, 90), (20, 16), (24, 40)])
def test_policies_resize_to_input_size(cfg: Any, name: Any, count: Any, size: Any, generator: Any) -> None:
    images = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)
    result = build_policy(name, cfg)(images, torch.Generator().manual_seed(1))
    assert result.shape == (count, 3, 24, 40)
    assert result.dtype == torch.uint8
    assert torch.equal(result, build_policy(name, cfg)(images, torch.Generator().manual_seed(1)))
    assert not torch.equal(result, build_policy(name, cfg)(images, torch.Generator().manual_seed(2)))


@pytest.mark.parametrize("name", ["randaugment", "simclr_imagenet"])
def test_policies_pickle(cfg: Any, name: Any, generator: Any) -> None:
    image = torch.randint(0, 256, (1, 3, 30, 30), dtype=torch.uint8, generator=generator)
    policy = build_policy(name, cfg)
    copy = pickle.loads(pickle.dumps(policy))
    assert_equal(*(p(image, torch.Generator().manual_seed(1)) for p in (policy, copy)))


@pytest.mark.parametrize("name", ["randaugment", "simclr_imagenet"])
def test_policies_equal_released_chain(cfg: Any, name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare with the original operations, one image at a time and with the same random numbers."""
    image = torch.randint(0, 256, (1, 3, 50, 61), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for seed in range(40):
        result = build_policy(name, cfg)(image, torch.Generator().manual_seed(seed))
        generator = torch.Generator().manual_seed(seed)
        picture = to_pillow(RandomResizedCropTo((24, 40), scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))(image, generator)[0])
        if name == "randaugment":
            picture = flipped(picture, generator)
        amounts = (
            [uniform((1,), generator=generator, low=0.6, high=1.4).item() for _ in range(3)]
            if jitters(generator)
            else []
        )
        changes = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation)
        for kind in uniform((1, 3), generator=generator).argsort(1)[0].tolist():
            picture = changes[kind](picture, amounts[kind])
        if name == "randaugment":
            for code, level, kind in zip(
                *(values[0].tolist() for values in RandAugment().draw(1, generator)), strict=True
            ):
                picture = by_timm(picture, NAMES[code], level, kind, monkeypatch) if code >= 0 else picture
        else:
            if uniform((1,), generator=generator).item() < 0.2:
                picture = TF.to_grayscale(picture, 3)
            draw, radius = (
                uniform((1,), generator=generator).item(),
                uniform((1,), generator=generator, low=0.1, high=2.0).item(),
            )
            if draw < 0.5:
                picture = picture.filter(ImageFilter.GaussianBlur(radius))
            picture = flipped(picture, generator)
        assert_equal(result[0], from_pillow(picture))


def flipped(picture: Any, generator: Any) -> Any:
    return TF.hflip(picture) if uniform((1,), generator=generator).item() < 0.5 else picture


def jitters(generator: Any) -> Any:
    """Draw whether jitter is applied, with probability 1."""
    return uniform((1,), generator=generator).item() < 1.0
