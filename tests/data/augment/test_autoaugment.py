"""AutoAugment: the published table, the magnitudes of NCL's port, and whole runs against Pillow."""

from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from pillow_reference import GREY, assert_equal, each, rotate_with_grey
from torchvision.transforms import AutoAugment as TorchvisionAutoAugment
from torchvision.transforms import AutoAugmentPolicy

from longtail.data.augment import AutoAugment
from longtail.data.augment.autoaugment import OPERATIONS, SUB_POLICIES


def _affine(image, matrix, resample=Image.Resampling.NEAREST):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=GREY)


def _cubic(image, matrix):
    return _affine(image, matrix, Image.Resampling.BICUBIC)


# What NCL's port does with a signed magnitude, on one PIL image.
PILLOW = {
    "ShearX": lambda image, m: _cubic(image, (1, m, 0, 0, 1, 0)),
    "ShearY": lambda image, m: _cubic(image, (1, 0, 0, m, 1, 0)),
    "TranslateX": lambda image, m: _affine(image, (1, 0, m * image.size[0], 0, 1, 0)),
    "TranslateY": lambda image, m: _affine(image, (1, 0, 0, 0, 1, m * image.size[1])),
    "Rotate": rotate_with_grey,
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


def test_table_is_the_published_one():
    published = TorchvisionAutoAugment()._get_policies(AutoAugmentPolicy.CIFAR10)
    ours = [tuple((name, tenths / 10, index) for name, tenths, index in pair) for pair in SUB_POLICIES]
    theirs = [tuple((name, chance, index or 0) for name, chance, index in pair) for pair in published]
    assert ours == theirs


@pytest.mark.parametrize("name", RANGES)
def test_magnitudes_are_those_of_the_port(name):
    ours = [OPERATIONS[name].magnitude(index) for index in range(10)]
    assert ours == pytest.approx(RANGES[name].tolist(), abs=1e-13)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_equals_pillow_at_every_index_and_sign(images, name):
    operation = OPERATIONS[name]
    for index, sign in product(range(10), (-1, 1) if operation.signed else (1,)):
        level = torch.full((len(images),), operation.magnitude(index) * sign, dtype=torch.float64)
        magnitude = (RANGES[name][index] if name in RANGES else 0.0) * sign
        expected = each(images, lambda image, magnitude=magnitude: PILLOW[name](image, magnitude))
        assert_equal(operation.apply(images, level), expected)


def test_whole_policy_equals_pillow_given_the_same_draws(images):
    policy, names = AutoAugment(), list(OPERATIONS)
    many = images.repeat(40, 1, 1, 1)
    codes, magnitudes = policy.draw(len(many), torch.Generator().manual_seed(3))
    expected = []
    for image, code, magnitude in zip(many, codes.tolist(), magnitudes.tolist(), strict=True):
        for place, m in zip(code, magnitude, strict=True):
            if place >= 0:
                image = each(image[None], lambda picture, place=place, m=m: PILLOW[names[place]](picture, m))[0]
        expected.append(image)
    assert_equal(policy(many, torch.Generator().manual_seed(3)), torch.stack(expected))


def test_frequencies_of_operations_and_signs(generator):
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


def test_sub_policies_are_uniform(generator):
    # Sub-policies 1 (rotate, 0.7) and 5 (posterize, 0.3) give themselves away by an operation of their own.
    codes, magnitudes = AutoAugment().draw(50_000, generator)
    rotated = codes[:, 0] == list(OPERATIONS).index("Rotate")
    assert rotated.float().mean().item() == pytest.approx(0.7 / 25, abs=0.004)
    posterized = codes[:, 1] == list(OPERATIONS).index("Posterize")
    assert posterized.float().mean().item() == pytest.approx(0.3 / 25, abs=0.003)
    assert (magnitudes[posterized, 1] == 5).all()
