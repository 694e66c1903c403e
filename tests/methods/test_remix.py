"""Remix: mixup with label weights in favor of the smaller class."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.losses import CrossEntropy, Loss
from longtail.methods import Remix, stacked_views
from longtail.models import Network, Output
from tests.helpers.methods import LinearExperts, check_gradients
from tests.helpers.mixing import COUNTS, batch, build, check_mixed, experts_of, fix_lam, logits_of, mixed_by_hand

RELEASED = ["TRAIN.COMBINER.REMIX.RELEASED", True]
KAPPA, TAU = "TRAIN.COMBINER.REMIX.KAPPA", "TRAIN.COMBINER.REMIX.TAU"


def label_weights(first: Tensor, second: Tensor, *, lam: float, kappa: float, tau: float) -> list[float]:
    """Return the weight of each row's own label, by the rule of the paper, one row at a time."""
    weights = []
    for own, other in zip(first.tolist(), second.tolist(), strict=True):
        weight = lam
        if lam < tau and COUNTS[own] / COUNTS[other] >= kappa:
            weight = 0.0
        if 1 - lam < tau and kappa * COUNTS[own] / COUNTS[other] <= 1:
            weight = 1.0
        weights.append(weight)
    return weights


def row_by_row(
    network: Network, loss: Loss, *, images: Tensor, first: Tensor, second: Tensor, weights: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Return the mean over the rows of the mixed losses, each row a batch of its own, summed over the experts."""
    logits = [logits_of(expert, images) for expert in experts_of(network)]
    rows = [
        weight * loss(head[i : i + 1], first[i : i + 1]) + (1 - weight) * loss(head[i : i + 1], second[i : i + 1])
        for head in logits
        for i, weight in enumerate(weights)
    ]
    return torch.stack(rows).sum() / len(first), torch.stack(logits)


def one_step(method: Any, seed: int = 6) -> tuple[Any, Tensor, Tensor, Tensor]:
    """Return a step, and the images, labels and partners' labels that it mixed."""
    images, first = stacked_views(batch())
    torch.manual_seed(seed)
    step = method.training_step(batch())
    torch.manual_seed(seed)
    partners = torch.randperm(len(first))
    return step, torch.stack([images, images[partners]]), first, first[partners]


@pytest.mark.parametrize(
    ("lam", "average", "expected"),
    [(0.3, True, 1.802399), (0.3, False, 1.965625), (0.7, True, 0.683659), (0.7, False, 0.846885)],
)
def test_remix_worked_example(lam: float, average: bool, expected: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 3)
    method = Remix(LinearExperts(1), CrossEntropy(), alpha=1.0, class_counts=[100, 20, 5], average=average)
    first, second = torch.tensor([0, 0, 1, 2]), torch.tensor([2, 1, 0, 0])
    step = method.step(Output(logits[None], logits[None]), first, second=second, lam=torch.tensor(lam))
    assert step.loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kappa", [0.2, 1.0, 3.0, 15.0])  # 0.2: both rules may hold; 15: reached exactly
@pytest.mark.parametrize("tau", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("lam", [0.2, 0.5, 0.6, 0.95])
def test_remix_labels_of_every_pair_of_classes(lam: float, tau: float, kappa: float) -> None:
    method = Remix(LinearExperts(1), CrossEntropy(), alpha=1.0, class_counts=COUNTS, kappa=kappa, tau=tau)
    first, second = torch.cartesian_prod(torch.arange(4), torch.arange(4)).T
    logits = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    step = method.step(Output(logits[None], logits[None]), first, second=second, lam=torch.tensor(lam))
    log_p = logits.log_softmax(1)
    weights = label_weights(first, second, lam=lam, kappa=kappa, tau=tau)
    rows = [w * log_p[i, first[i]] + (1 - w) * log_p[i, second[i]] for i, w in enumerate(weights)]
    torch.testing.assert_close(step.loss, -torch.stack(rows).mean())


@pytest.mark.parametrize("kappa", [1.0, 3.0])
@pytest.mark.parametrize("tau", [0.5, 0.9])
@pytest.mark.parametrize("lam", [0.2, 0.6])
def test_remix_matches_loop(lam: float, tau: float, kappa: float, monkeypatch: pytest.MonkeyPatch) -> None:
    method, network, loss = build("remix", KAPPA, kappa, TAU, tau)
    fix_lam(method, monkeypatch, lam)
    step, (images, others), first, second = one_step(method)
    weights = label_weights(first, second, lam=lam, kappa=kappa, tau=tau)
    mixed = lam * images + (1 - lam) * others
    expected, logits = row_by_row(network, loss, images=mixed, first=first, second=second, weights=weights)
    torch.testing.assert_close(step.loss, expected)
    torch.testing.assert_close(step.logits, logits)
    check_gradients(step.loss, expected, network)


@pytest.mark.parametrize("lam", [0.2, 0.8])
def test_remix_released_is_mixup_with_the_mean_weight(lam: float, monkeypatch: pytest.MonkeyPatch) -> None:
    method, network, loss = build("remix", *RELEASED)
    fix_lam(method, monkeypatch, lam)
    step, (images, others), first, second = one_step(method)
    mean = float(torch.tensor(label_weights(first, second, lam=lam, kappa=3.0, tau=0.5)).mean())
    assert mean != pytest.approx(lam)
    mixed = lam * images + (1 - lam) * others
    by_hand = mixed_by_hand(network, loss, images=mixed, first=first, second=second, lam=mean)
    check_mixed(step, network, by_hand, first=first, second=second, lam=mean)


def test_remix_with_class_weights_divides_by_those_of_the_used_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    method, network, loss = build("remix", "LOSS.LOSS_TYPE", "CostSensitiveCE")
    fix_lam(method, monkeypatch, 0.2)
    step, (images, others), first, second = one_step(method)
    weights = [min(COUNTS) / count for count in COUNTS]
    expected = torch.zeros(())
    for expert in experts_of(network):
        log_p = logits_of(expert, 0.2 * images + 0.8 * others).log_softmax(1)
        for part, labels in ((0.2, first), (0.8, second)):
            above, below = torch.zeros(()), 0.0
            for row, (own, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
                label = other if COUNTS[own] >= 3 * COUNTS[other] else int(labels[row])
                above, below = above - weights[label] * log_p[row, label], below + weights[label]
            expected = expected + part * above / below
    torch.testing.assert_close(step.loss, expected)
    assert method.loss is loss


@pytest.mark.parametrize("overrides", [[], RELEASED])
def test_remix_with_an_unreachable_kappa_is_mixup(overrides: list[Any]) -> None:
    losses = []
    for name, *more in (("mixup",), ("remix", KAPPA, 1000.0, *overrides)):
        method, _, _ = build(str(name), *more)
        torch.manual_seed(3)
        losses.append(method.training_step(batch()).loss)
    torch.testing.assert_close(losses[0], losses[1])


def test_remix_reads_class_counts_from_the_data() -> None:
    method, _, _ = build("remix")
    assert method.counts.tolist() == COUNTS
    assert method.state_dict() == {}
