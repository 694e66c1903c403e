"""DBM: margins by class size and difficulty."""

import math

import pytest
import torch

from longtail.errors import UserError
from longtail.losses import BalancedSoftmax, DifficultyMargin
from longtail.losses.difficulty_margin import class_margins, with_margin
from tests.helpers.losses import COUNTS, LOGITS, TARGETS, B, C, build, grad, nll, rows_of

SCALE, K, TAU = 32.0, 0.3, 0.7
COSINES = torch.tanh(LOGITS)


def loop() -> float:
    losses = []
    for row, y in zip(rows_of(COSINES), TARGETS.tolist(), strict=True):
        margin = K * (COUNTS[y] / min(COUNTS)) ** -TAU
        if row.index(max(row)) != y:
            margin += margin * (1 - row[y]) / 2
        angle = math.acos(row[y]) + margin
        logits = [SCALE * (math.cos(angle) if c == y else z) + math.log(COUNTS[c]) for c, z in enumerate(row)]
        losses.append(nll(logits, y))
    return sum(losses) / len(losses)


def test_difficulty_margin_matches_loop() -> None:
    loss = DifficultyMargin(COUNTS, SCALE, largest=K, power=TAU)
    assert loss(SCALE * COSINES, TARGETS).item() == pytest.approx(loop(), rel=1e-5)


def test_difficulty_margin_has_samples_of_both_kinds_in_the_loop() -> None:
    right = COSINES.argmax(1) == TARGETS
    assert 0 < int(right.sum()) < B


def test_difficulty_margin_without_margin_is_balanced_softmax() -> None:
    loss = DifficultyMargin(COUNTS, SCALE, largest=0.0)
    expected = BalancedSoftmax(COUNTS)(SCALE * COSINES, TARGETS)
    torch.testing.assert_close(loss(SCALE * COSINES, TARGETS), expected, rtol=1e-5, atol=1e-5)


def test_difficulty_margin_smallest_class_may_be_anywhere() -> None:
    order = torch.tensor([4, 2, 0, 3, 1])
    loss = DifficultyMargin(COUNTS, SCALE, largest=K, power=TAU)
    shuffled = DifficultyMargin([COUNTS[c] for c in order.tolist()], SCALE, largest=K, power=TAU)
    expected = loss(SCALE * COSINES, TARGETS)
    torch.testing.assert_close(shuffled(SCALE * COSINES[:, order], order.argsort()[TARGETS]), expected)


def test_class_margins_are_largest_for_the_smallest_class() -> None:
    margins = class_margins(COUNTS, K, TAU)
    assert margins[-1] == pytest.approx(K)
    assert torch.equal(margins.argsort(), torch.arange(C))


def test_with_margin_gradients_are_those_of_its_values() -> None:
    cosines = (0.9 * COSINES.double()).requires_grad_()  # away from the poles, where finite differences fail
    margins = class_margins(COUNTS, K, TAU)
    assert torch.autograd.gradcheck(lambda given: with_margin(given, TARGETS, margins), cosines)


@pytest.mark.parametrize("edge", [1.0, -1.0])
def test_with_margin_gradients_are_finite_at_the_poles(edge: float) -> None:
    cosines = torch.full((2, 3), edge).requires_grad_()
    with_margin(cosines, torch.tensor([0, 2]), torch.tensor([0.1, 0.2, 0.3])).sum().backward()
    assert torch.isfinite(grad(cosines)).all()


def test_difficulty_margin_needs_a_cosine_head_without_bias() -> None:
    assert isinstance(build("DifficultyMargin"), DifficultyMargin)
    with pytest.raises(UserError, match=r"set CLASSIFIER\.TYPE cos CLASSIFIER\.BIAS False, not FC with a bias"):
        build("DifficultyMargin", "CLASSIFIER.TYPE", "FC", "CLASSIFIER.BIAS", True)
    with pytest.raises(UserError, match="not cos with a bias"):
        build("DifficultyMargin", "CLASSIFIER.BIAS", True)
