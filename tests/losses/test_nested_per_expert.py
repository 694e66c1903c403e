"""NestedLoss with LOSS.HCM_PER_EXPERT: each expert chooses its own hard classes."""

import math

import pytest
import torch
from torch import Tensor

from longtail.losses import NestedLoss, Prediction
from tests.helpers.losses import grad, nested_loss
from tests.losses.test_nested import COUNTS, FACTORS, MODES, C, draw, hard_of, softmax_over


def build(mode: str, number: int = 3, per_expert: bool = True) -> NestedLoss:
    return nested_loss(NestedLoss, COUNTS, number, mode=mode, per_expert=per_expert, **FACTORS)


def hard_loop(logits: Tensor, targets: Tensor, *, mode: str, number: int) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and distillation over the hard classes, one pair and one sample at a time."""
    experts, samples = logits.shape[:2]
    prior = torch.tensor([math.log(n) for n in COUNTS], dtype=logits.dtype)
    ce, divergence = logits.new_zeros(()), logits.new_zeros(())
    for b in range(samples):
        y = int(targets[b])
        for learner in range(experts):
            hard = hard_of(logits[learner, b].detach(), y, number)
            p = [softmax_over(logits[k, b] + prior, hard, mode) for k in range(experts)]
            ce = ce - FACTORS["hard_ratio"] * p[learner][y].log() / samples
            for teacher in set(range(experts)) - {learner}:
                for c in range(C) if mode == "zero" else hard:
                    own, other = p[learner][c], p[teacher][c]
                    divergence = divergence + other * (other.log() - (own + 1e-9).log()) / samples
    return ce, FACTORS["hard_distillation_factor"] / (experts - 1) * divergence


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [1, 3, C])
@pytest.mark.parametrize("experts", [2, 3])
def test_nested_loss_per_expert_matches_loop(mode: str, number: int, experts: int) -> None:
    logits, targets = draw(experts, 4)
    mine, naive = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    terms = build(mode, number).terms(Prediction(mine, targets))
    expected = hard_loop(naive, targets, mode=mode, number=number)
    for name, value in zip(("hard_ce", "hard_nbod"), expected, strict=True):
        torch.testing.assert_close(terms[name], value, rtol=1e-6, atol=1e-7)
    (terms["hard_ce"] + terms["hard_nbod"]).backward()
    (expected[0] + expected[1]).backward()
    torch.testing.assert_close(mine.grad, naive.grad, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("mode", MODES)
def test_nested_loss_per_expert_order_of_experts_does_not_matter(mode: str) -> None:
    logits, targets = draw(3)
    torch.testing.assert_close(build(mode)(logits[[1, 2, 0]], targets), build(mode)(logits, targets))


@pytest.mark.parametrize("mode", MODES)
def test_nested_loss_per_expert_with_equal_choices_is_the_released_loss(mode: str) -> None:
    logits, targets = draw(1)
    logits = logits * torch.tensor([1.0, 0.8, 1.3]).view(3, 1, 1)  # the order of the classes stays
    torch.testing.assert_close(build(mode)(logits, targets), build(mode, per_expert=False)(logits, targets))


@pytest.mark.parametrize("mode", MODES)
def test_nested_loss_per_expert_extreme_logits(mode: str) -> None:
    logits = (1e4 * torch.randint(-1, 2, (3, 8, C), generator=torch.Generator().manual_seed(0))).requires_grad_()
    loss = build(mode)(logits, torch.arange(8) % C)
    loss.backward()
    assert loss.isfinite()
    assert grad(logits).isfinite().all()
