"""Tests of AutoAugment: the published table, the magnitudes of NCL's port, and the whole policy against Pillow."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from pillow_reference import GRAY, assert_equal, map_pillow, rotate_with_gray
from torchvision.transforms import AutoAugment as TorchvisionAutoAugment
from torchvision.transforms import AutoAugmentPolicy

from longtail.data.augment import AutoAugment
from longtail.data.augment.autoaugment import OPERATIONS, SUB_POLICIES


def _affine(image: Any, matrix: Any, resample: Any = Image.Resampling.NEAREST) -> Any:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=GRAY)


def _cubic(image: Any, matrix: Any) -> Any:
    return _affine(image, matrix, Image.Resampling.BICUBIC)


# The operations of NCL's port with a signed magnitude, on one PIL image.
PILLOW = {
    "ShearX": lambda image, m: _cubic(image, (1, m, 0, 0, 1, 0)),
    "ShearY": lambda image, m: _cubic(image, (1, 0, 0, m, 1, 0)),
    "TranslateX": lambda image, m: _affine(image, (1, 0, m * image.size[0], 0, 1, 0)),
    "TranslateY": lambda image, m: _affine(image, (1, 0, 0, 0, 1, m * image.size[1])),
    "Rotate": rotate_with_gray,
    "Color": lambda image, m: ImageEnhance.Color(image).enhance(1 + m),
    "Contrast": lambda image, m: ImageEnhance.Contrast(image).enhance(1 + m),
    "Brightness": lambda image, m: ImageEnhance.Brightness(image).enhance(1 + m),
    "Sharpness": lambda image, m: ImageEnhance.Sharpness(image).enhance(1 + m),
    "Posterize": lambda image, m: ImageOps.posterize(image, int(m)),
    "Solarize": lambda image, m: ImageOps.solarize(image, m),
    "AutoContrast": lambda image, m: ImageOps.autocontrast(image),
    "Equalize": lambda image, m: ImageOps.equalize(image),
    "Invert": lambda image, m: ImageOps.invert(image),
}

# The ranges of NCL's port, index 0..9.
RANGES = {
    "ShearX": np.linspace(0, 0.3, 10),
    "ShearY": np.linspace(0, 0.3, 10),
    "TranslateX": np.linspace(0, 150 / 331, 10),
    "TranslateY": np.linspace(0, 150 / 331, 10),
    "Rotate": np.linspace(0, 30, 10),
    "Color": np.linspace(0, 0.9, 10),
    "Contrast": np.linspace(0, 0.9, 10),
    "Brightness": np.linspace(0, 0.9, 10),
    "Sharpness": np.linspace(0, 0.9, 10),
    "Posterize": np.round(np.linspace(8, 4, 10), 0),
    "Solarize": np.linspace(256, 0, 10),
}


def test_sub_policies_published_table() -> None:
    published = TorchvisionAutoAugment()._get_policies(AutoAugmentPolicy.CIFAR10)
    ours = [tuple((name, tenths / 10, index) for name, tenths, index in pair) for pair in SUB_POLICIES]
    theirs = [tuple((name, tenths, index or 0) for name, tenths, index in pair) for pair in published]
    assert ours == theirs


@pytest.mark.parametrize("name", RANGES)
def test_magnitudes_equal_port(name: Any) -> None:
    ours = [OPERATIONS[name].magnitude(index) for index in range(10)]
    assert ours == pytest.approx(RANGES[name].tolist(), abs=1e-13)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_equal_pillow(images: Any, name: Any) -> None:
    operation = OPERATIONS[name]
    for index, sign in product(range(10), (-1, 1) if operation.signed else (1,)):
        level = torch.full((len(images),), operation.magnitude(index) * sign, dtype=torch.float64)
        magnitude = (RANGES[name][index] if name in RANGES else 0.0) * sign
        expected = map_pillow(images, lambda image, magnitude=magnitude: PILLOW[name](image, magnitude))
        assert_equal(operation.apply(images, level), expected)


@pytest.mark.slow
def test_autoaugment_equals_pillow(images: Any) -> None:
    policy, names = AutoAugment(), list(OPERATIONS)
    many = images.repeat(40, 1, 1, 1)
    codes, magnitudes = policy.draw(len(many), torch.Generator().manual_seed(3))
    expected = []
    for image, code, magnitude in zip(many, codes.tolist(), magnitudes.tolist(), strict=True):
        for operation, m in zip(code, magnitude, strict=True):
            if operation >= 0:
                image = map_pillow(image[None], lambda image, code=operation, m=m: PILLOW[names[code]](image, m))[0]
        expected.append(image)
    assert_equal(policy(many, torch.Generator().manual_seed(3)), torch.stack(expected))


def test_draw_frequencies(generator: Any) -> None:
    count = 50_000
    codes, magnitudes = AutoAugment().draw(count, generator)
    for slot in range(2):
        for code, name in enumerate(OPERATIONS):
            rate = sum(pair[slot][1] / 10 for pair in SUB_POLICIES if pair[slot][0] == name) / 25
            observed = (codes[:, slot] == code).float().mean().item()
            assert observed == pytest.approx(rate, abs=5 * (rate * (1 - rate) / count) ** 0.5 + 1e-9)
    fired = torch.stack([codes == list(OPERATIONS).index(name) for name in ("TranslateX", "TranslateY")]).any(0)
    positive = (magnitudes[fired] > 0).float().mean().item()
    assert positive == pytest.approx(0.5, abs=5 * 0.5 / int(fired.sum()) ** 0.5)
    rotated = magnitudes[codes == list(OPERATIONS).index("Rotate")]
    assert torch.allclose(rotated, torch.tensor(2 * 30 / 9, dtype=torch.float64))


def test_draw_sub_policies_uniform(generator: Any) -> None:
    # Sub-policies 1 (rotate, 0.7) and 5 (posterize, 0.3) are identified by operations that no other sub-policy has.
    codes, magnitudes = AutoAugment().draw(50_000, generator)
    rotated = codes[:, 0] == list(OPERATIONS).index("Rotate")
    assert rotated.float().mean().item() == pytest.approx(0.7 / 25, abs=0.004)
    posterized = codes[:, 1] == list(OPERATIONS).index("Posterize")
    assert posterized.float().mean().item() == pytest.approx(0.3 / 25, abs=0.003)
    assert (magnitudes[posterized, 1] == 5).all()
