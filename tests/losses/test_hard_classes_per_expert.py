"""NCL's loss where each expert chooses its own hard classes."""

import math

import pytest
import torch
from loss_parts import nested_loss

from longtail.config import load_config
from longtail.losses import NestedLoss, Prediction, build_loss

COUNTS = [50, 30, 12, 7, 3, 2]
C = len(COUNTS)
FACTORS = {"ce_ratio": 0.7, "hard_ratio": 0.4, "distillation_factor": 0.47, "hard_distillation_factor": 0.69}
MODES = ["zero", "exclude"]


def build(mode, number=3, per_expert=True):
    return nested_loss(NestedLoss, COUNTS, number, mode=mode, per_expert=per_expert, **FACTORS)


def draw(experts=3, samples=4):
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(experts, samples, C, generator=random, dtype=torch.float64)
    return logits, torch.randint(C, (samples,), generator=random)


def oracle(logits, targets, mode, number):
    """The hard terms, one pair and one sample at a time."""
    experts, samples = logits.shape[:2]
    prior = torch.tensor([math.log(n) for n in COUNTS], dtype=logits.dtype)
    ce, divergence = 0.0, 0.0
    for b in range(samples):
        y = int(targets[b])
        for learner in range(experts):
            scores = logits[learner, b].detach()
            kept = [y, *sorted((c for c in range(C) if c != y), key=lambda c: -float(scores[c]))[: number - 1]]
            inside = torch.tensor([c in kept for c in range(C)])
            fill = 0.0 if mode == "zero" else -math.inf
            says = [torch.where(inside, logits[k, b] + prior, fill).softmax(0) for k in range(experts)]
            ce = ce - FACTORS["hard_ratio"] * says[learner][y].log() / samples
            for teacher in set(range(experts)) - {learner}:
                for c in range(C) if mode == "zero" else kept:
                    p, q = says[teacher][c], says[learner][c]
                    divergence = divergence + p * (p.log() - (q + 1e-9).log()) / samples
    return ce, FACTORS["hard_distillation_factor"] / (experts - 1) * divergence


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [1, 3, C])
@pytest.mark.parametrize("experts", [2, 3])
def test_equals_the_naive_loss_in_value_and_gradient(mode, number, experts):
    logits, targets = draw(experts)
    mine, naive = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    terms = build(mode, number).terms(Prediction(mine, targets))
    expected = oracle(naive, targets, mode, number)
    for name, value in zip(("hard_ce", "hard_nbod"), expected, strict=True):
        torch.testing.assert_close(terms[name], value, rtol=1e-6, atol=1e-7)
    (terms["hard_ce"] + terms["hard_nbod"]).backward()
    sum(expected).backward()
    torch.testing.assert_close(mine.grad, naive.grad, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("mode", MODES)
def test_all_experts_are_equals(mode):
    logits, targets = draw(3)
    torch.testing.assert_close(build(mode)(logits[[1, 2, 0]], targets), build(mode)(logits, targets))


@pytest.mark.parametrize("mode", MODES)
def test_experts_that_choose_alike_lose_what_they_lost(mode):
    logits, targets = draw(1)
    logits = logits * torch.tensor([1.0, 0.8, 1.3]).view(3, 1, 1)  # the order of the classes stays
    torch.testing.assert_close(build(mode)(logits, targets), build(mode, per_expert=False)(logits, targets))


@pytest.mark.parametrize("mode", MODES)
def test_zero_probabilities_have_finite_gradients(mode):
    logits = (1e4 * torch.randint(-1, 2, (3, 8, C), generator=torch.Generator().manual_seed(0))).requires_grad_()
    loss = build(mode)(logits, torch.arange(8) % C)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_the_tree_says_who_chooses():
    keys = ["LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 2]
    assert not build_loss(load_config(None, keys), COUNTS).hard_per_expert
    assert build_loss(load_config(None, [*keys, "LOSS.HCM_PER_EXPERT", "True"]), COUNTS).hard_per_expert
