import pytest
import torch
from mixing_parts import COUNTS, batch, build, by_hand, check, fix_share

from longtail.losses import CrossEntropy
from longtail.methods import Remix, stacked_views
from longtail.models import Output

RELEASED = ["TRAIN.COMBINER.REMIX.RELEASED", True]


def shares_of_labels(first, second, share, counts, kappa, tau):
    """The share of each row's own label, by the rule of the paper, one row at a time."""
    shares = []
    for own, other in zip(first.tolist(), second.tolist(), strict=True):
        one = share
        if share < tau and counts[own] / counts[other] >= kappa:
            one = 0.0
        if 1 - share < tau and kappa * counts[own] / counts[other] <= 1:
            one = 1.0
        shares.append(one)
    return shares


def per_row(network, loss, images, first, second, shares):
    """Mean over the rows of the mixed losses, each row a batch of its own; summed over the experts."""
    logits = [expert(images)[0] for expert in network.experts]
    rows = [
        share * loss(one[i : i + 1], first[i : i + 1]) + (1 - share) * loss(one[i : i + 1], second[i : i + 1])
        for one in logits
        for i, share in enumerate(shares)
    ]
    return sum(rows) / len(first), torch.stack(logits)


@pytest.mark.parametrize(
    ("share", "average", "expected"),
    [(0.3, True, 1.802399), (0.3, False, 1.965625), (0.7, True, 0.683659), (0.7, False, 0.846885)],
)
def test_worked_example(share, average, expected):
    torch.manual_seed(0)
    logits = torch.randn(4, 3)
    method = Remix(torch.nn.Identity(), CrossEntropy(), 1.0, [100, 20, 5], 3.0, 0.5, average)
    first, second = torch.tensor([0, 0, 1, 2]), torch.tensor([2, 1, 0, 0])
    step = method.step(Output(logits[None], logits[None]), first, second, torch.tensor(share))
    assert step.loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kappa", [0.2, 1.0, 3.0, 15.0])  # 0.2: both rules may hold; 15: reached exactly
@pytest.mark.parametrize("tau", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.6, 0.95])
def test_every_pair_of_classes_is_labelled_as_by_hand(share, tau, kappa):
    method = Remix(torch.nn.Identity(), CrossEntropy(), 1.0, COUNTS, kappa, tau)
    first, second = torch.cartesian_prod(torch.arange(4), torch.arange(4)).T
    logits = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    step = method.step(Output(logits[None], logits[None]), first, second, torch.tensor(share))
    log_p = logits.log_softmax(1)
    shares = shares_of_labels(first, second, share, COUNTS, kappa, tau)
    rows = [one * log_p[i, first[i]] + (1 - one) * log_p[i, second[i]] for i, one in enumerate(shares)]
    torch.testing.assert_close(step.loss, -sum(rows) / 16)


@pytest.mark.parametrize("kappa", [1.0, 3.0])
@pytest.mark.parametrize("tau", [0.5, 0.9])
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_labels_are_mixed_row_by_row_as_by_hand(share, tau, kappa, monkeypatch):
    method, network, loss = build("remix", "TRAIN.COMBINER.REMIX.KAPPA", kappa, "TRAIN.COMBINER.REMIX.TAU", tau)
    fix_share(method, monkeypatch, share)
    images, first = stacked_views(batch())
    torch.manual_seed(6)
    step = method.training_step(batch())
    torch.manual_seed(6)
    partners = torch.randperm(len(first))
    second = first[partners]
    shares = shares_of_labels(first, second, share, COUNTS, kappa, tau)
    mixed = share * images + (1 - share) * images[partners]
    expected, logits = per_row(network, loss, mixed, first, second, shares)
    torch.testing.assert_close(step.loss, expected)
    torch.testing.assert_close(step.logits, logits)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for one, other in zip(*(torch.autograd.grad(value, parameters) for value in (step.loss, expected)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_the_released_average_is_mixup_with_the_mean_share(share, monkeypatch):
    method, network, loss = build("remix", *RELEASED)
    fix_share(method, monkeypatch, share)
    images, first = stacked_views(batch())
    torch.manual_seed(6)
    step = method.training_step(batch())
    torch.manual_seed(6)
    partners = torch.randperm(len(first))
    second = first[partners]
    mean = float(torch.tensor(shares_of_labels(first, second, share, COUNTS, 3.0, 0.5)).mean())
    assert mean != pytest.approx(share)
    expected, logits = by_hand(
        network, loss, share * images + (1 - share) * images[partners], first, second, torch.tensor(mean)
    )
    check(step, network, expected, logits, first, second, mean)


def test_with_class_weights_the_labels_that_count_are_weighed(monkeypatch):
    method, network, loss = build("remix", "LOSS.LOSS_TYPE", "CostSensitiveCE")
    fix_share(method, monkeypatch, 0.2)
    images, first = stacked_views(batch())
    torch.manual_seed(6)
    step = method.training_step(batch())
    torch.manual_seed(6)
    partners = torch.randperm(len(first))
    second = first[partners]
    weights = [min(COUNTS) / count for count in COUNTS]
    mixed = 0.2 * images + 0.8 * images[partners]
    expected = 0
    for expert in network.experts:
        log_p = expert(mixed)[0].log_softmax(1)
        for part, labels in ((0.2, first), (0.8, second)):
            above, below = 0, 0
            for row, (own, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
                label = other if COUNTS[own] >= 3 * COUNTS[other] else int(labels[row])
                above, below = above - weights[label] * log_p[row, label], below + weights[label]
            expected = expected + part * above / below
    torch.testing.assert_close(step.loss, expected)
    assert method.loss is loss


@pytest.mark.parametrize("overrides", [[], RELEASED])
def test_with_a_factor_that_no_classes_reach_it_is_mixup(overrides):
    losses = []
    for name, *more in (("mixup",), ("remix", "TRAIN.COMBINER.REMIX.KAPPA", 1000.0, *overrides)):
        method, _, _ = build(name, *more)
        torch.manual_seed(3)
        losses.append(method.training_step(batch()).loss)
    torch.testing.assert_close(*losses)


def test_the_sizes_of_the_classes_are_not_part_of_the_state():
    method, _, _ = build("remix")
    assert method.counts.tolist() == COUNTS
    assert method.state_dict() == {}
