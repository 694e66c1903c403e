"""Mixup of images."""

from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.methods import Mixup, stacked_views
from tests.helpers.losses import NEEDED, SINGLE_HEAD
from tests.helpers.mixing import batch, build, check_mixed, fix_lam, mixed_by_hand

LAM = 0.3
MIXABLE = [name for name in SINGLE_HEAD if name not in ("InfluenceBalancedLoss", "DiVEKLD")]
NEVER_WEIGHTED = ("CrossEntropy", "CrossEntropyLabelSmooth", "CrossEntropyLabelAwareSmooth", "SEQL")
NESTED = [
    *("LOSS.HCM_N", 2, "LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0),
    *("LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM", 0.6),
]


def draws(seed: int, rows: int) -> tuple[float, Tensor]:
    """Return the lam and the partners that a method draws first and second."""
    torch.manual_seed(seed)
    one = torch.tensor(1.0, dtype=torch.float64)
    return float(torch.distributions.Beta(one, one).sample().float()), torch.randperm(rows)


def mixed_images(images: Tensor, partners: Tensor, lam: float) -> Tensor:
    """Mix image by image."""
    return torch.stack([lam * images[i] + (1 - lam) * images[j] for i, j in enumerate(partners.tolist())])


@pytest.mark.parametrize("name", ["mixup", "mix_up"])
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("experts", [1, 2])
def test_mixup_matches_loop(name: str, views: int, experts: int) -> None:
    method, network, loss = build(name, experts=experts)
    assert type(method) is Mixup
    images, first = stacked_views(batch(views))
    lam, partners = draws(3, len(first))
    torch.manual_seed(3)
    step = method.training_step(batch(views))
    second, mixed = first[partners], mixed_images(images, partners, lam)
    by_hand = mixed_by_hand(network, loss, images=mixed, first=first, second=second, lam=lam)
    check_mixed(step, network, by_hand, first=first, second=second, lam=lam)


@pytest.mark.parametrize("name", MIXABLE)
def test_mixup_with_every_loss_of_one_head(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["LOSS.SEQL.GAMMA", 1.0, "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 3]
    method, network, loss = build("mixup", "LOSS.LOSS_TYPE", name, *NEEDED.get(name, []), *options)
    fix_lam(method, monkeypatch, LAM)
    values = []
    for epoch in (1, 4):  # before and after the deferral
        method.set_epoch(epoch)
        torch.manual_seed(5)
        step = method.training_step(batch())
        images, first = stacked_views(batch())
        torch.manual_seed(5)
        partners = torch.randperm(len(first))
        mixed = mixed_images(images, partners, LAM)
        values.append(mixed_by_hand(network, loss, images=mixed, first=first, second=first[partners], lam=LAM)[0])
        torch.testing.assert_close(step.loss, values[-1])
    assert (values[0] != values[1]) == (name not in NEVER_WEIGHTED)


@pytest.mark.parametrize(("name", "views"), [("NIL_NBOD", 1), ("NIL_NBOD", 2), ("NIL_NBOD_plus", 2)])
def test_mixup_with_nested_losses(name: str, views: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is lam * L(first) + (1 - lam) * L(second), each over all heads at once."""
    method, network, loss = build("mixup", "LOSS.LOSS_TYPE", name, *NESTED, "DATASET.INTRA_N", views)
    fix_lam(method, monkeypatch, LAM)
    images, first = stacked_views(batch(views))
    torch.manual_seed(5)
    step = method.training_step(batch(views))
    torch.manual_seed(5)
    partners = torch.randperm(len(first))
    logits = network(mixed_images(images, partners, LAM)).logits
    expected = LAM * loss(logits, first) + (1 - LAM) * loss(logits, first[partners])
    check_mixed(step, network, (expected, logits), first=first, second=first[partners], lam=LAM)


def test_mixup_with_lam_1_is_supervised_training_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, network, _ = build("supervised")
    method, other, _ = build("mixup")
    fix_lam(method, monkeypatch, 1.0)
    steps = [plain.training_step(batch()), method.training_step(batch())]
    for step in steps:
        step.loss.backward()
    assert torch.equal(steps[0].loss, steps[1].loss) and torch.equal(steps[0].logits, steps[1].logits)
    for own, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert (own.grad is None) == (theirs.grad is None)
        assert own.grad is None or theirs.grad is None or torch.equal(own.grad, theirs.grad)


def test_mixup_with_lam_0_is_supervised_training_on_the_partners(monkeypatch: pytest.MonkeyPatch) -> None:
    method, _, _ = build("mixup")
    fix_lam(method, monkeypatch, 0.0)
    plain, _, _ = build("supervised")
    torch.testing.assert_close(method.training_step(batch()).loss, plain.training_step(batch()).loss)


def test_mixup_is_repeatable_by_seed() -> None:
    method, _, _ = build("mixup")
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(float(method.training_step(batch()).loss.detach()))
    assert losses[0] == losses[1] != losses[2]


def test_mixup_keeps_the_memory_layout_of_the_images() -> None:
    method, network, _ = build("mixup")
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = batch().images[0].to(memory_format=torch.channels_last)
    method.training_step(batch()._replace(images=images[None]))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["mixup", "remix"])
def test_mixup_has_no_state(name: str) -> None:
    overrides: list[Any] = []
    method, network, _ = build(name, *overrides)
    assert method.state_dict() == {} and list(method.parameters()) == []
    assert set(build("supervised")[1].state_dict()) == set(network.state_dict())
