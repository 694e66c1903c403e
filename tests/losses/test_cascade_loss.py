import math

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Prediction, build_loss
from longtail.losses.cascade import CascadeLoss, Density, cascade_loss, density_weights
from longtail.methods.base import Step
from longtail.methods.mixing import Mixing
from longtail.models import Output

KINDS = ("softmax", "sigmoid")
WEIGHTINGS = ("sample", "batch")
OPTIONS = {"bins": 4, "gamma": 1.5, "base_weight": 2.0}


def draw(heads: int = 3, samples: int = 12, classes: int = 5) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(heads, samples, classes, generator=random, dtype=torch.float64)
    return logits, torch.randint(classes, (samples,), generator=random)


def losses(
    kind: str, weighting: str = "sample", uniform: float = 0.3, *, logits: Tensor | None = None, **options: object
) -> Tensor:
    drawn, targets = draw()
    settings = {"targets": targets, "uniform": uniform, **OPTIONS, **options}
    return cascade_loss(drawn if logits is None else logits, kind=kind, weighting=weighting, **settings)  # type: ignore[arg-type]


def oracle(
    logits: list[list[list[float]]], targets: list[int], kind: str, weighting: str, uniform: float
) -> list[float]:
    """The loss of each head, in loops over numbers."""
    samples, scores, result = len(targets), [0.0] * len(targets), []
    for number, head in enumerate(logits, 1):
        own = []
        for index, (row, target) in enumerate(zip(head, targets, strict=True)):
            if kind == "softmax":
                probabilities = [math.exp(z) / sum(map(math.exp, row)) for z in row]
                own.append(-math.log(probabilities[target]))
            else:
                probabilities = [1 / (1 + math.exp(-z)) for z in row]
                own.append(-sum(math.log(p if c == target else 1 - p) for c, p in enumerate(probabilities)))
            scores[index] += probabilities[target]
        places = [min(int(score / number * OPTIONS["bins"]), int(OPTIONS["bins"]) - 1) for score in scores]
        weights = [OPTIONS["base_weight"] + OPTIONS["gamma"] * places.count(place) / samples for place in places]
        if weighting == "batch":
            weights = [sum(weights) / samples] * samples
        weighted = sum(w * value for w, value in zip(weights, own, strict=True)) / samples
        result.append(uniform * sum(own) / samples + (1 - uniform) * weighted)
    return result


@pytest.mark.parametrize("uniform", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_cascade_loss_equals_the_loop(kind: str, weighting: str, uniform: float) -> None:
    logits, targets = draw()
    expected = oracle(logits.tolist(), targets.tolist(), kind, weighting, uniform)
    assert losses(kind, weighting, uniform).tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_cascade_loss_mixes_two_labels(kind: str) -> None:
    second = torch.arange(12) % 5
    mixed = losses(kind, targets2=second, lam=0.7)
    torch.testing.assert_close(mixed, 0.7 * losses(kind) + 0.3 * losses(kind, targets=second))


def test_cascade_loss_of_written_numbers() -> None:
    logits = torch.tensor(
        [[[2.0, 0, -1], [0, 1, 0], [1, 1, 3], [-1, 2, 0]], [[3, 0, 0], [0, 2, -1], [0, 0, 1], [1, 0, 0]]]
    )
    targets, targets2 = torch.tensor([0, 1, 2, 1]), torch.tensor([1, 0, 2, 2])
    settings = {"targets": targets, "targets2": targets2, "lam": 0.7, "bins": 4, "gamma": 1.0}
    for kind, weighting, uniform, expected in (
        ("softmax", "batch", 1.0, [0.657670, 0.966915]),
        ("softmax", "batch", 0.5, [1.192028, 1.752533]),
        ("softmax", "sample", 0.5, [1.204515, 1.798472]),
        ("softmax", "sample", 0.0, [1.751359, 2.630030]),
        ("sigmoid", "sample", 0.5, [3.691740, 3.819089]),
        ("sigmoid", "sample", 0.0, [5.348144, 5.521345]),
    ):
        values = losses(kind, weighting, uniform, logits=logits, **settings)
        assert values.tolist() == pytest.approx(expected, rel=1e-5)


def test_density_weights_are_large_in_crowded_bins() -> None:
    scores = torch.tensor([0.0, 0.1, 0.25, 0.3, 0.74, 1.0, 0.99, 0.75])
    weights = density_weights(scores, bins=4, gamma=2.0, base_weight=1.0)
    assert weights.tolist() == [1.5, 1.5, 1.5, 1.5, 1.25, 1.75, 1.75, 1.75]
    assert density_weights(scores, bins=1, gamma=2.0, base_weight=1.0).tolist() == [3.0] * 8


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_cascade_loss_ignores_the_order_of_samples(kind: str, weighting: str) -> None:
    (logits, targets), order = draw(), torch.randperm(12, generator=torch.Generator().manual_seed(1))
    shuffled = losses(kind, weighting, logits=logits[:, order], targets=targets[order])
    torch.testing.assert_close(shuffled, losses(kind, weighting))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_cascade_loss_of_the_softmax_ignores_a_constant_on_the_logits(weighting: str) -> None:
    shifted = draw()[0] + torch.arange(12.0)[:, None]
    torch.testing.assert_close(losses("softmax", weighting, logits=shifted), losses("softmax", weighting))


@pytest.mark.parametrize("kind", KINDS)
def test_cascade_loss_of_a_head_does_not_depend_on_later_heads(kind: str) -> None:
    torch.testing.assert_close(losses(kind, logits=draw()[0][:2]), losses(kind)[:2])


@pytest.mark.parametrize("kind", KINDS)
def test_weightings_differ_unless_all_samples_lie_in_one_bin(kind: str) -> None:
    assert not torch.allclose(losses(kind, "sample"), losses(kind, "batch"))
    torch.testing.assert_close(losses(kind, "sample", bins=1), losses(kind, "batch", bins=1))
    torch.testing.assert_close(losses(kind, "sample", gamma=0.0), losses(kind, "batch", gamma=0.0))


@pytest.mark.parametrize("kind", KINDS)
def test_one_bin_scales_loss_and_gradient(kind: str) -> None:
    logits = draw()[0].requires_grad_()
    (plain,) = torch.autograd.grad(losses(kind, uniform=1.0, logits=logits).sum(), logits)
    (weighted,) = torch.autograd.grad(losses(kind, uniform=0.0, logits=logits, bins=1, gamma=1.0).sum(), logits)
    torch.testing.assert_close(weighted, 3 * plain)


@pytest.mark.parametrize("size", [17.0, 100.0, 1e4])
@pytest.mark.parametrize("kind", KINDS)
def test_extreme_logits_give_finite_values_and_gradients(kind: str, size: float) -> None:
    logits = (size * torch.eye(5).repeat(3, 1, 1)).requires_grad_()
    for targets in (torch.arange(5), (torch.arange(5) + 1) % 5):
        for sign in (1, -1):
            value = losses(kind, logits=sign * logits, targets=targets)
            (gradient,) = torch.autograd.grad(value.sum(), logits)
            assert value.isfinite().all() and gradient.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_logits_are_computed_in_float32(kind: str) -> None:
    logits = draw()[0].bfloat16()
    values = losses(kind, logits=logits)
    assert values.dtype == torch.float32
    assert torch.equal(values, losses(kind, logits=logits.float()))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(losses(kind, logits=logits), values)


def test_cascade_loss_refuses_unknown_kinds() -> None:
    with pytest.raises(
        UserError, match="kind is 'ce' and weighting 'sample'; allowed: softmax, sigmoid; sample, batch"
    ):
        losses("ce")


@pytest.mark.parametrize("kind", KINDS)
def test_loss_sums_the_heads_and_follows_the_epoch(kind: str) -> None:
    logits, targets = draw()
    loss = CascadeLoss(kind, 10, density=Density(bins=4, gamma=1.5))
    torch.testing.assert_close(loss(logits, targets), losses(kind, uniform=1.0).sum())  # before the first epoch
    for epoch in (1, 4, 10, 13):
        loss.set_epoch(epoch)
        expected = losses(kind, uniform=1 - min(epoch, 10) / 10)
        torch.testing.assert_close(loss(logits, targets), expected.sum())
        terms = loss.terms(Prediction(logits, targets))
        assert list(terms) == ["head0", "head1", "head2"]
        torch.testing.assert_close(torch.stack(list(terms.values())), expected)


def test_loss_reads_its_keys() -> None:
    keys = {"BINS": 5, "GAMMA": 2.0, "BASE_WEIGHT": 1.0, "WEIGHTING": "batch"}
    overrides = [item for name, value in keys.items() for item in (f"LOSS.Cascade.{name}", value)]
    loss = build_loss(load_config(None, ["LOSS.LOSS_TYPE", "CascadeSigmoid", "TRAIN.MAX_EPOCH", 7, *overrides]), [1, 1])
    assert isinstance(loss, CascadeLoss) and loss.nested
    assert (loss.kind, loss.epochs, loss.density) == ("sigmoid", 7, Density(*keys.values()))  # type: ignore[arg-type]
    released = build_loss(load_config(None, ["LOSS.LOSS_TYPE", "CascadeSoftmax"]), [1, 1])
    assert isinstance(released, CascadeLoss)
    assert (released.kind, released.density) == ("softmax", Density(8, 1.0, 2.0, "sample"))


class Fixed(Mixing):
    """A mixing method whose network has given outputs."""

    def training_step(self, batch: Batch) -> Step:
        raise NotImplementedError


@pytest.mark.parametrize("kind", KINDS)
def test_mixup_computes_the_mixed_loss_of_all_heads(kind: str) -> None:
    (logits, first), second = draw(), torch.arange(12) % 5
    loss = CascadeLoss(kind, 10, density=Density(bins=4, gamma=1.5))
    loss.set_epoch(7)
    lam = torch.tensor(0.3)
    method = Fixed(torch.nn.Identity(), loss, alpha=1.0)
    step = method.step(Output(logits, logits), first, second=second, lam=lam)
    torch.testing.assert_close(step.loss, losses(kind, uniform=0.3, targets2=second, lam=0.3).sum())
