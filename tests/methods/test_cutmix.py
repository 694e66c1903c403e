"""CutMix: a box of each image comes from its partner, and the label weights are the areas."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.data import Batch
from longtail.methods import CutMix, stacked_views
from longtail.methods.cutmix import box_masks
from tests.helpers.losses import NEEDED
from tests.helpers.mixing import LABELS, batch, build, check_mixed, mixed_by_hand
from tests.methods.test_mixup import MIXABLE, NESTED
from tests.methods.test_per_sample_mixup import PER_SAMPLE

PROBABILITY = "TRAIN.COMBINER.CUTMIX.PROBABILITY"


def box_by_hand(lam: float, center: tuple[float, float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of a box, as the release computes them."""
    edges = []
    for length, where in zip(size, center, strict=True):
        side, middle = int(length * math.sqrt(1 - lam)), int(length * where)
        edges += [max(middle - side // 2, 0), min(middle + side // 2, length)]
    return edges[0], edges[1], edges[2], edges[3]


def draws(seed: int, rows: int, *, boxes: int = 1) -> tuple[list[float], Tensor, Tensor]:
    """Return the lams, the partners and the centers (2, N) that a method draws in this order."""
    torch.manual_seed(seed)
    one = torch.tensor(1.0, dtype=torch.float64)
    lam = torch.distributions.Beta(one, one).sample(torch.Size([boxes] if boxes > 1 else [])).float().view(-1)
    return lam.tolist(), torch.randperm(rows), torch.rand(3, boxes)[:2]


def pasted(images: Tensor, partners: Tensor, boxes: list[tuple[int, int, int, int]]) -> tuple[Tensor, list[float]]:
    """Paste image by image; return the images and the fraction of each that is its own."""
    result, lams = images.clone(), []
    for i, (top, bottom, left, right) in enumerate(boxes):
        for y in range(top, bottom):
            for x in range(left, right):
                result[i, :, y, x] = images[partners[i], :, y, x]
        lams.append(1 - max(bottom - top, 0) * max(right - left, 0) / (images.shape[2] * images.shape[3]))
    return result, lams


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("experts", [1, 2])
def test_cutmix_matches_loop(views: int, experts: int) -> None:
    method, network, loss = build("cutmix", experts=experts)
    assert type(method) is CutMix
    images, first = stacked_views(batch(views))
    (lam,), partners, centers = draws(3, len(first))
    box = box_by_hand(lam, (float(centers[0]), float(centers[1])), (8, 8))
    mixed, (real, *_) = pasted(images, partners, [box] * len(first))
    assert 0 < real < 1
    torch.manual_seed(3)
    step = method.training_step(batch(views))
    second = first[partners]
    by_hand = mixed_by_hand(network, loss, images=mixed, first=first, second=second, lam=real)
    check_mixed(step, network, by_hand, first=first, second=second, lam=real)


def test_cutmix_per_sample_matches_loop() -> None:
    method, network, loss = build("cutmix", *PER_SAMPLE)
    images, first = stacked_views(batch())
    lams, partners, centers = draws(4, 7, boxes=7)
    boxes = [box_by_hand(lams[i], (float(centers[0, i]), float(centers[1, i])), (8, 8)) for i in range(7)]
    mixed, real = pasted(images, partners, boxes)
    torch.manual_seed(4)
    step = method.training_step(batch())
    expected = torch.zeros(())
    for head in network(mixed).logits:
        for i, own in enumerate(real):
            rows = head[i : i + 1]
            expected = expected + own * loss(rows, first[i : i + 1]) / 7
            expected = expected + (1 - own) * loss(rows, first[partners[i]].view(1)) / 7
    torch.testing.assert_close(step.loss, expected)
    assert step.mixed is not None
    torch.testing.assert_close(step.mixed.lam, torch.tensor(real))
    assert len(set(real)) > 3


@pytest.mark.parametrize("size", [(8, 8), (6, 11), (32, 32)])
def test_box_masks_match_loop(size: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    lam, centers = torch.rand(60, generator=random), torch.rand(2, 60, generator=random)
    lam[:2] = torch.tensor([0.0, 1.0])
    masks = box_masks(lam, centers, size=size)
    for i, mask in enumerate(masks):
        expected = torch.zeros(size, dtype=torch.bool)
        top, bottom, left, right = box_by_hand(float(lam[i]), (float(centers[0, i]), float(centers[1, i])), size)
        expected[top:bottom, left:right] = True
        assert torch.equal(mask, expected)


@pytest.mark.parametrize("overrides", [(), PER_SAMPLE])
def test_cutmix_lam_is_the_area_that_is_not_pasted(overrides: tuple[Any, ...]) -> None:
    """Images of one value each: the pixels of the partner can be counted."""
    method, network, _ = build("cutmix", *overrides)
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    values = torch.arange(7.0)
    images = values[:, None, None, None].expand(7, 3, 8, 8)[None]
    lams = []
    for seed in range(20):
        torch.manual_seed(seed)
        step = method.training_step(Batch(images, torch.tensor(LABELS), torch.arange(7)))
        assert step.mixed is not None
        own = (seen[-1] == values[:, None, None, None]).float().mean((1, 2, 3))
        lam = step.mixed.lam.expand(7)
        moved = own < 1  # a row that is its own partner changes nothing
        torch.testing.assert_close(own[moved], lam[moved])
        lams.append(lam)
    assert torch.stack(lams).min() < 0.6 and torch.stack(lams).max() > 0.9


@pytest.mark.parametrize("name", MIXABLE)
def test_cutmix_with_every_loss_of_one_head(name: str) -> None:
    method, network, loss = build("cutmix", "LOSS.LOSS_TYPE", name, *NEEDED.get(name, []))
    method.set_epoch(2)
    images, first = stacked_views(batch())
    (lam,), partners, centers = draws(3, 7)
    box = box_by_hand(lam, (float(centers[0]), float(centers[1])), (8, 8))
    mixed, (real, *_) = pasted(images, partners, [box] * 7)
    torch.manual_seed(3)
    step = method.training_step(batch())
    torch.manual_seed(3)
    expected = mixed_by_hand(network, loss, images=mixed, first=first, second=first[partners], lam=real)[0]
    if name != "SEQL":  # draws random classes itself
        torch.testing.assert_close(step.loss, expected)
    assert step.loss.isfinite()


@pytest.mark.parametrize(("name", "views"), [("NIL_NBOD", 1), ("NIL_NBOD", 2), ("NIL_NBOD_plus", 2)])
def test_cutmix_with_nested_losses(name: str, views: int) -> None:
    method, network, loss = build("cutmix", "LOSS.LOSS_TYPE", name, *NESTED, "DATASET.INTRA_N", views)
    images, first = stacked_views(batch(views))
    (lam,), partners, centers = draws(3, len(first))
    box = box_by_hand(lam, (float(centers[0]), float(centers[1])), (8, 8))
    mixed, (real, *_) = pasted(images, partners, [box] * len(first))
    torch.manual_seed(3)
    step = method.training_step(batch(views))
    logits = network(mixed).logits
    expected = real * loss(logits, first) + (1 - real) * loss(logits, first[partners])
    check_mixed(step, network, (expected, logits), first=first, second=first[partners], lam=real)


def test_cutmix_probability_0_is_supervised_training() -> None:
    plain, _, _ = build("supervised")
    method, _, _ = build("cutmix", PROBABILITY, 0.0)
    step = method.training_step(batch())
    torch.testing.assert_close(step.loss, plain.training_step(batch()).loss)
    assert step.mixed is not None and float(step.mixed.lam) == 1


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), PER_SAMPLE])
def test_cutmix_probability_is_that_of_a_box(overrides: tuple[Any, ...]) -> None:
    method, _, _ = build("cutmix", PROBABILITY, 0.5, "TRAIN.COMBINER.ALPHA", 1000.0, *overrides)
    torch.manual_seed(0)
    lams = [method.training_step(batch()).mixed.lam.view(-1) for _ in range(200)]
    boxes = (torch.cat(lams) < 1).float()  # with so large an alpha every box has pixels
    assert abs(float(boxes.mean()) - 0.5) < 4 * 0.5 / len(boxes) ** 0.5


def test_cutmix_keeps_the_memory_layout_of_the_images() -> None:
    method, network, _ = build("cutmix")
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = batch().images[0].to(memory_format=torch.channels_last)
    method.training_step(batch()._replace(images=images[None]))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_cutmix_has_no_state_and_repeats_by_seed() -> None:
    method, network, _ = build("cutmix")
    assert method.state_dict() == {} and list(method.parameters()) == []
    assert set(build("supervised")[1].state_dict()) == set(network.state_dict())
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(float(method.training_step(batch()).loss.detach()))
    assert losses[0] == losses[1] != losses[2]
