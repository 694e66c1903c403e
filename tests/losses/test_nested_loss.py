"""The nested loss against a naive oracle, its invariances, and its limits."""

import math

import pytest
import torch
from loss_parts import nested_loss
from torch.nn import functional as F

from longtail.errors import UserError
from longtail.losses import NestedLoss, Prediction
from longtail.losses.nested import hard_classes

COUNTS = [50, 30, 12, 7, 3, 2]
C = len(COUNTS)
MODES = ["zero", "exclude"]
FACTORS = {"ce_ratio": 0.7, "hard_ratio": 0.4, "distillation_factor": 0.47, "hard_distillation_factor": 0.69}


def build(mode, number=3, **settings):
    return nested_loss(NestedLoss, COUNTS, number, mode=mode, **(FACTORS | settings))


def draw(experts=3, samples=5, scale=3.0, seed=0):
    random = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(experts, samples, C, generator=random, dtype=torch.float64)
    return logits, torch.randint(C, (samples,), generator=random)


def oracle(logits, targets, mode, number, ce_ratio, hard_ratio, distillation_factor, hard_distillation_factor):
    """One expert, one sample, one pair at a time; probabilities from softmax, divergences from the library."""
    experts, samples = logits.shape[:2]
    total = logits.new_zeros(())
    scores = logits[0].detach()
    for b in range(samples):
        y = int(targets[b])
        others = sorted((c for c in range(C) if c != y), key=lambda c: -float(scores[b, c]))
        hard = {y, *others[: number - 1]}
        full, nested = [], []
        for k in range(experts):
            a = logits[k, b] + torch.tensor([math.log(n) for n in COUNTS], dtype=logits.dtype)
            full.append(a.softmax(0))
            fill = 0.0 if mode == "zero" else -math.inf
            nested.append(torch.stack([a[c] if c in hard else a.new_tensor(fill) for c in range(C)]).softmax(0))
        for ratio, factor, p in (
            (ce_ratio, distillation_factor, full),
            (hard_ratio, hard_distillation_factor, nested),
        ):
            for i in range(experts):
                total = total - ratio * p[i][y].log() / samples
                for j in range(experts):
                    if i == j:
                        continue
                    kept = [c for c in range(C) if mode == "zero" or p is full or c in hard]
                    divergence = F.kl_div((p[i][kept] + 1e-9).log(), p[j][kept], reduction="sum")
                    total = total + factor / (experts - 1) * divergence / samples
    return total


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [1, 2, 4, C])
@pytest.mark.parametrize("experts", [1, 2, 4])
def test_equals_the_naive_loss_in_value_and_gradient(mode, number, experts):
    logits, targets = draw(experts)
    mine, naive = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    value, expected = build(mode, number)(mine, targets), oracle(naive, targets, mode, number, **FACTORS)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(mine.grad, naive.grad, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("number", range(1, C + 1))
def test_hard_classes_are_the_target_and_the_highest_others(number):
    logits, targets = draw()
    hard = hard_classes(logits[0], targets, number)
    for row, target, chosen in zip(logits[0], targets.tolist(), hard.tolist(), strict=True):
        others = [c for c in row.argsort(descending=True).tolist() if c != target]
        assert chosen == [target, *others[: number - 1]]


def test_hard_classes_are_chosen_by_the_first_expert_from_its_raw_logits():
    logits, targets = torch.zeros(2, 1, C), torch.tensor([5])
    logits[0, 0] = torch.tensor([0.0, 0.1, 0.2, 3.0, 2.0, 0.0])  # the prior would choose class 0
    logits[1, 0] = torch.tensor([9.0, 9.0, 9.0, 0.0, 0.0, 0.0])
    loss = build("exclude", 3, ce_ratio=0.0, distillation_factor=0.0)
    logits.requires_grad_()
    loss(logits, targets).backward()
    assert logits.grad.ne(0).any(0)[0].tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize("mode", MODES)
def test_the_other_experts_may_change_places(mode):
    logits, targets = draw(4)
    loss = build(mode)
    torch.testing.assert_close(loss(logits[[0, 3, 1, 2]], targets), loss(logits, targets))


def test_the_first_expert_may_not():
    logits, targets = draw(3)
    loss = build("zero")
    assert not torch.allclose(loss(logits[[1, 0, 2]], targets), loss(logits, targets))


@pytest.mark.parametrize("mode", MODES)
def test_samples_may_change_places(mode):
    logits, targets = draw()
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(build(mode)(logits[:, order], targets[order]), build(mode)(logits, targets))


@pytest.mark.parametrize("mode", MODES)
def test_repeating_the_samples_changes_nothing(mode):
    logits, targets = draw()
    torch.testing.assert_close(build(mode)(logits.repeat(1, 2, 1), targets.repeat(2)), build(mode)(logits, targets))


def test_a_constant_on_the_logits_changes_nothing_where_classes_are_left_out():
    logits, targets = draw()
    shift = torch.arange(15.0).view(3, 5, 1)
    torch.testing.assert_close(build("exclude")(logits + shift, targets), build("exclude")(logits, targets))
    first, second = (build("zero").terms(Prediction(z, targets)) for z in (logits + shift, logits))
    for name in ("ce", "nbod"):
        torch.testing.assert_close(first[name], second[name])


@pytest.mark.parametrize("mode", MODES)
def test_one_expert_has_no_distillation(mode):
    logits, targets = draw(1)
    assert list(build(mode).terms(Prediction(logits, targets))) == ["ce", "hard_ce"]


@pytest.mark.parametrize("mode", MODES)
def test_equal_experts_have_nothing_to_learn_from_each_other(mode):
    logits, targets = draw(1)
    terms = build(mode).terms(Prediction(logits.expand(3, -1, -1), targets))
    assert terms["nbod"].abs() < 1e-6 and terms["hard_nbod"].abs() < 1e-6
    torch.testing.assert_close(terms["ce"], 3 * build(mode).terms(Prediction(logits, targets))["ce"])


@pytest.mark.parametrize("mode", MODES)
def test_with_all_classes_hard_both_halves_are_equal(mode):
    logits, targets = draw()
    terms = build(mode, C, ce_ratio=1.0, hard_ratio=1.0, distillation_factor=1.0, hard_distillation_factor=1.0).terms(
        Prediction(logits, targets)
    )
    torch.testing.assert_close(terms["hard_ce"], terms["ce"])
    torch.testing.assert_close(terms["hard_nbod"], terms["nbod"])


def test_with_the_target_alone_nothing_is_hard():
    logits, targets = draw()
    terms = build("exclude", 1).terms(Prediction(logits, targets))
    assert terms["hard_ce"] == 0 and terms["hard_nbod"].abs() < 1e-8


def test_both_experts_of_a_pair_receive_gradients():
    logits, targets = draw(2)
    logits.requires_grad_()
    build("zero").terms(Prediction(logits, targets))["nbod"].backward()
    assert (logits.grad.abs().amax((1, 2)) > 0).all()


@pytest.mark.parametrize("name", ["ce", "hard_ce", "nbod", "hard_nbod"])
def test_each_term_has_its_own_weight(name):
    weight = dict(zip(["ce", "hard_ce", "nbod", "hard_nbod"], FACTORS, strict=True))[name]
    logits, targets = draw()
    once, twice = build("zero").terms(Prediction(logits, targets)), build("zero", **{weight: 2 * FACTORS[weight]}).terms(Prediction(logits, targets))  # fmt: skip
    for other in once:
        torch.testing.assert_close(twice[other], once[other] * (2 if other == name else 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_extreme_logits_give_finite_values_and_gradients(mode, kind, autocast, scale):
    random = torch.Generator().manual_seed(0)
    signs = torch.randint(-1, 2, (3, 16, C), generator=random)
    logits = (signs * scale).to(kind).requires_grad_()
    targets = torch.arange(16) % C
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = build(mode)(logits, targets)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite() and loss > 0
    assert logits.grad.dtype == kind and logits.grad.isfinite().all()
    if scale == 1e4:  # the probabilities of the wrong classes are exactly zero here
        assert (logits.detach().float().softmax(2) == 0).any()


def test_half_precision_logits_are_computed_in_float32():
    logits, targets = draw()
    half = logits.bfloat16()
    torch.testing.assert_close(build("zero")(half, targets), build("zero")(half.float(), targets), rtol=0, atol=0)


def test_a_probability_of_zero_has_a_zero_gradient():
    logits = torch.zeros(2, 1, C)
    logits[0, 0, 0], logits[1, 0, 1] = 300.0, 300.0
    logits.requires_grad_()
    build("zero").terms(Prediction(logits, torch.tensor([0])))["nbod"].backward()
    assert logits.grad.isfinite().all()
    assert torch.equal(logits.grad[:, 0, 2:], torch.zeros(2, C - 2))


@pytest.mark.parametrize("mode", MODES)
def test_as_many_hard_classes_as_there_are_is_the_limit(mode):
    build(mode, C)
    with pytest.raises(UserError, match=r"^LOSS.HCM_N is 7; it must be at most the number of classes, 6$"):
        build(mode, C + 1)


def test_an_unknown_mode_is_refused():
    with pytest.raises(UserError, match=r"^LOSS.HCM_MODE is 'skip'; allowed: 'zero', 'exclude'$"):
        build("skip")
