"""Tests of the SimCLR steps: boxes by torchvision's rule, jitter in the drawn order, probabilities."""

import math
from typing import Any

import pytest
import torch
import torchvision.transforms.functional as TF
from pillow_reference import assert_equal, from_pillow, to_pillow
from torchvision.transforms import RandomResizedCrop as TorchvisionRandomResizedCrop

from longtail.data.augment import ColorJitter, RandomBlur, RandomGrayscale
from longtail.data.augment.batch import uniform
from longtail.data.augment.simclr import random_boxes


def test_random_boxes_within_bounds(generator: Any) -> None:
    top, left, tall, wide = random_boxes(
        20_000, (32, 40), scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), generator=generator
    ).unbind(1)
    assert (tall > 0).all()
    assert (wide > 0).all()
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= 32).all()
    assert (left + wide <= 40).all()
    # Allow half a pixel of rounding on each side.
    assert (((wide + 0.5) / (tall - 0.5)) >= 3 / 4).all()
    assert (((wide - 0.5) / (tall + 0.5)) <= 4 / 3).all()


@pytest.mark.slow
def test_random_boxes_distribution_equals_torchvision(generator: Any) -> None:
    ours = random_boxes(20_000, (32, 32), scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), generator=generator).double()
    torch.manual_seed(0)
    blank = torch.zeros(3, 32, 32)
    rule = TorchvisionRandomResizedCrop.get_params
    theirs = torch.tensor([rule(blank, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(5_000)]).double()
    error = 5 * theirs.std(0) * math.sqrt(1 / 5_000 + 1 / 20_000)
    assert ((ours.mean(0) - theirs.mean(0)).abs() <= error).all()
    assert (ours.std(0) / theirs.std(0)).sub(1).abs().max() < 0.06


def test_random_boxes_one_equals_many() -> None:
    height, width = size = (30, 50)
    for seed in range(300):
        box = random_boxes(
            1, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), generator=torch.Generator().manual_seed(seed)
        )
        generator = torch.Generator().manual_seed(seed)
        area = uniform((10,), generator=generator, low=0.08, high=1.0) * (height * width)
        aspect = uniform((10,), generator=generator, low=math.log(3 / 4), high=math.log(4 / 3)).exp()
        place = uniform((2,), generator=generator)
        wide, tall = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        first = int(((wide <= width) & (tall <= height)).to(torch.uint8).argmax())
        room = torch.stack([height - tall[first] + 1, width - wide[first] + 1])
        assert box.tolist() == [[*(place * room).long().tolist(), int(tall[first]), int(wide[first])]]


def test_random_boxes_of_many_match_loop() -> None:
    height, width = size = (30, 50)
    settings: Any = {"scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3)}
    boxes = random_boxes(300, size, **settings, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    areas = uniform((300, 10), generator=generator, low=0.08, high=1.0) * (height * width)
    aspects = uniform((300, 10), generator=generator, low=math.log(3 / 4), high=math.log(4 / 3)).exp()
    places = uniform((300, 2), generator=generator)
    for box, *draws, (row, column) in zip(*map(torch.Tensor.tolist, (boxes, areas, aspects, places)), strict=True):
        sides = [(round(math.sqrt(a / r)), round(math.sqrt(a * r))) for a, r in zip(*draws, strict=True)]
        tall, wide = next((tall, wide) for tall, wide in sides if tall <= height and wide <= width)
        assert box == [int(row * (height - tall + 1)), int(column * (width - wide + 1)), tall, wide]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((10, 100), (0, 43, 10, 13)),
        ((100, 10), (43, 0, 13, 10)),
        ((11, 100), (0, 42, 11, 15)),
        ((100, 11), (42, 0, 15, 11)),
    ],
)
def test_random_boxes_fallback(generator: Any, size: Any, expected: Any) -> None:
    # The whole area of such a long image never fits the ratio.
    for count in (1, 5):
        boxes = random_boxes(count, size, scale=(1.0, 1.0), ratio=(3 / 4, 4 / 3), generator=generator)
        assert boxes.tolist() == [list(expected)] * count


@pytest.mark.parametrize("alone", [False, True], ids=["many", "alone"])
def test_color_jitter_equals_torchvision(images: Any, alone: Any) -> None:
    """Single images, as from files, take a shorter code path."""
    for seed, many in enumerate(images.split(1) if alone else [images.repeat(10, 1, 1, 1)]):
        count = len(many)
        ours = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)(
            many, torch.Generator().manual_seed(seed)
        )
        generator = torch.Generator().manual_seed(seed)
        chosen = uniform((count,), generator=generator) < 0.8
        amounts = torch.stack(
            [
                uniform((count,), generator=generator, low=low, high=high)
                for low, high in [(0.6, 1.4)] * 3 + [(-0.1, 0.1)]
            ],
            1,
        )
        orders = uniform((count, 4), generator=generator).argsort(1)
        changes = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
        expected = []
        for i, image in enumerate(many):
            picture = to_pillow(image)
            for kind in orders[i].tolist() if chosen[i] else []:
                picture = changes[kind](picture, amounts[i, kind].item())
            expected.append(from_pillow(picture))
        assert_equal(ours, torch.stack(expected))


def test_step_probabilities(generator: Any) -> None:
    noise = torch.randint(0, 256, (4_000, 3, 4, 4), generator=generator, dtype=torch.uint8)
    for step, p in (
        (RandomGrayscale(0.2), 0.2),
        (RandomBlur(0.5, radius=(1.0, 2.0)), 0.5),
        (ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8), 0.8),
    ):
        changed = (step(noise, generator) != noise).flatten(1).any(1).float().mean().item()
        assert changed == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 4_000))
