"""NestedLoss (NCL): loops, worked examples, invariances and limits."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.config import load_config
from longtail.losses import NestedLoss, Prediction, build_loss
from longtail.losses.nested import hard_classes
from tests.helpers.losses import grad, nested_loss
from tests.helpers.worked_example import COUNTS as EXAMPLE_COUNTS
from tests.helpers.worked_example import TARGETS as EXAMPLE_TARGETS
from tests.helpers.worked_example import logits as example_logits

COUNTS = [50, 30, 12, 7, 3, 2]
C = len(COUNTS)
MODES = ["zero", "exclude"]
FACTORS = {"ce_ratio": 0.7, "hard_ratio": 0.4, "distillation_factor": 0.47, "hard_distillation_factor": 0.69}
TERMS = ["ce", "hard_ce", "nbod", "hard_nbod"]


def build(mode: str = "zero", number: int = 3, **settings: Any) -> NestedLoss:
    return nested_loss(NestedLoss, COUNTS, number, mode=mode, **(FACTORS | settings))


def draw(experts: int = 3, samples: int = 5) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(experts, samples, C, generator=random, dtype=torch.float64)
    return logits, torch.randint(C, (samples,), generator=random)


def terms_of(loss: NestedLoss, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    return loss.terms(Prediction(logits, targets))


# Loops


def hard_of(scores: Tensor, y: int, number: int) -> list[int]:
    """Return the own class and the highest others."""
    return [y, *sorted((c for c in range(C) if c != y), key=lambda c: -float(scores[c]))[: number - 1]]


def softmax_over(adjusted: Tensor, hard: list[int], mode: str) -> Tensor:
    """Return the probabilities over hard classes; the logits of the others are 0, or they are excluded."""
    fill = adjusted.new_tensor(0.0 if mode == "zero" else -math.inf)
    return torch.stack([adjusted[c] if c in hard else fill for c in range(C)]).softmax(0)


def nested_loop(logits: Tensor, targets: Tensor, *, mode: str, number: int) -> Tensor:
    """Return the loss, one expert, one sample, one pair at a time; divergences are computed by torch."""
    experts, samples = logits.shape[:2]
    prior = torch.tensor([math.log(n) for n in COUNTS], dtype=logits.dtype)
    total = logits.new_zeros(())
    for b in range(samples):
        y = int(targets[b])
        hard = hard_of(logits[0, b].detach(), y, number)
        adjusted = [logits[k, b] + prior for k in range(experts)]
        full, nested = [a.softmax(0) for a in adjusted], [softmax_over(a, hard, mode) for a in adjusted]
        for ratio, factor, p in (
            (FACTORS["ce_ratio"], FACTORS["distillation_factor"], full),
            (FACTORS["hard_ratio"], FACTORS["hard_distillation_factor"], nested),
        ):
            kept = [c for c in range(C) if mode == "zero" or p is full or c in hard]
            for i in range(experts):
                total = total - ratio * p[i][y].log() / samples
                for j in set(range(experts)) - {i}:
                    divergence = F.kl_div((p[i][kept] + 1e-9).log(), p[j][kept], reduction="sum")
                    total = total + factor / (experts - 1) * divergence / samples
    return total


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [1, 2, 4, C])
@pytest.mark.parametrize("experts", [1, 2, 4])
def test_nested_loss_matches_loop(mode: str, number: int, experts: int) -> None:
    logits, targets = draw(experts)
    mine, naive = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    value, expected = build(mode, number)(mine, targets), nested_loop(naive, targets, mode=mode, number=number)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(mine.grad, naive.grad, rtol=1e-6, atol=1e-8)


# Worked examples


def example(**overrides: Any) -> NestedLoss:
    section = "LOSS.MULTI_CLASIIFIER_LOSS"
    settings = {"LOSS.LOSS_TYPE": "NIL_NBOD", "LOSS.HCM_N": 3, "LOSS.CE_RATIO": 1.0, "LOSS.HCM_RATIO": 1.0}
    settings |= {f"{section}.DIVERSITY_FACTOR": 0.6, f"{section}.DIVERSITY_FACTOR_HCM": 0.6} | overrides
    loss = build_loss(load_config(None, [part for pair in settings.items() for part in pair]), EXAMPLE_COUNTS)
    assert isinstance(loss, NestedLoss)
    return loss


@pytest.mark.parametrize(("classes", "number"), [(100, 30), (8142, 2443), (10, 3), (4, 2), (2, 2)])
def test_hard_classes_are_30_percent_of_all_with_number_0(classes: int, number: int) -> None:
    cfg = load_config(None, ["LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 0])
    loss = build_loss(cfg, [10] * classes)
    assert isinstance(loss, NestedLoss)
    assert loss.hard_classes(torch.randn(3, 5, classes), torch.zeros(5, dtype=torch.int64)).shape == (1, 5, number)


def test_nested_loss_worked_example() -> None:
    z = torch.stack([example_logits(k) for k in range(3)]).requires_grad_()
    terms = terms_of(example(), z, EXAMPLE_TARGETS)
    expected = {"ce": 5.374891, "hard_ce": 4.576833, "nbod": 0.771414, "hard_nbod": 0.722139}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, abs=2e-6)
    loss = example()(z, EXAMPLE_TARGETS)
    assert loss.item() == pytest.approx(11.445277, abs=5e-6)
    loss.backward()
    gradient = grad(z)
    assert gradient[0, 0].tolist() == pytest.approx([-0.364118, 0.310817, 0.052163, 0.001373, -0.000443], abs=1e-6)
    assert gradient[1, 0].tolist() == pytest.approx([-0.039615, 0.040659, -0.000925, -0.000114, -0.000259], abs=1e-6)


@pytest.mark.parametrize(
    ("key", "value", "hard_ce"), [("LOSS.HCM_MODE", "exclude", 4.533595), ("LOSS.HCM_PRIOR", "frequencies", 7.918753)]
)
def test_nested_loss_worked_example_of_options(key: str, value: str, hard_ce: float) -> None:
    z = torch.stack([example_logits(k) for k in range(3)])
    terms = terms_of(example(**{key: value}), z, EXAMPLE_TARGETS)
    assert terms["hard_ce"].item() == pytest.approx(hard_ce, abs=2e-6)
    assert terms["ce"].item() == pytest.approx(5.374891, abs=2e-6)


# Hard classes


@pytest.mark.parametrize("number", range(1, C + 1))
def test_hard_classes_are_the_target_and_the_highest_others(number: int) -> None:
    logits, targets = draw()
    hard = hard_classes(logits[0], targets, number=number)
    for row, target, chosen in zip(logits[0], targets.tolist(), hard.tolist(), strict=True):
        others = [c for c in row.argsort(descending=True).tolist() if c != target]
        assert chosen == [target, *others[: number - 1]]


def test_hard_classes_are_chosen_by_the_first_expert_from_raw_logits() -> None:
    logits, targets = torch.zeros(2, 1, C), torch.tensor([5])
    logits[0, 0] = torch.tensor([0.0, 0.1, 0.2, 3.0, 2.0, 0.0])  # the prior would choose class 0
    logits[1, 0] = torch.tensor([9.0, 9.0, 9.0, 0.0, 0.0, 0.0])
    logits.requires_grad_()
    build("exclude", 3, ce_ratio=0.0, distillation_factor=0.0)(logits, targets).backward()
    assert grad(logits).ne(0).any(0)[0].tolist() == [False, False, False, True, True, True]


# Invariances


@pytest.mark.parametrize("mode", MODES)
def test_nested_loss_order_of_the_other_experts_does_not_matter(mode: str) -> None:
    logits, targets = draw(4)
    torch.testing.assert_close(build(mode)(logits[[0, 3, 1, 2]], targets), build(mode)(logits, targets))


def test_nested_loss_first_expert_matters() -> None:
    logits, targets = draw(3)
    assert not torch.allclose(build()(logits[[1, 0, 2]], targets), build()(logits, targets))


@pytest.mark.parametrize("mode", MODES)
def test_nested_loss_order_and_repetition_of_samples_do_not_matter(mode: str) -> None:
    logits, targets = draw()
    order = torch.tensor([3, 1, 4, 0, 2])
    expected = build(mode)(logits, targets)
    torch.testing.assert_close(build(mode)(logits[:, order], targets[order]), expected)
    torch.testing.assert_close(build(mode)(logits.repeat(1, 2, 1), targets.repeat(2)), expected)


def test_nested_loss_constant_added_to_the_logits() -> None:
    """It only affects hard classes in mode `zero`, where the others keep a logit of 0."""
    logits, targets = draw()
    shift = torch.arange(15.0).view(3, 5, 1)
    torch.testing.assert_close(build("exclude")(logits + shift, targets), build("exclude")(logits, targets))
    first, second = (terms_of(build("zero"), z, targets) for z in (logits + shift, logits))
    for name in ("ce", "nbod"):
        torch.testing.assert_close(first[name], second[name])


@pytest.mark.parametrize("mode", MODES)
def test_nested_loss_with_one_expert_has_no_distillation(mode: str) -> None:
    assert list(terms_of(build(mode), *draw(1))) == ["ce", "hard_ce"]


@pytest.mark.parametrize("mode", MODES)
def test_nested_loss_of_equal_experts(mode: str) -> None:
    logits, targets = draw(1)
    terms = terms_of(build(mode), logits.expand(3, -1, -1), targets)
    assert terms["nbod"].abs() < 1e-6 and terms["hard_nbod"].abs() < 1e-6
    torch.testing.assert_close(terms["ce"], 3 * terms_of(build(mode), logits, targets)["ce"])


@pytest.mark.parametrize("mode", MODES)
def test_nested_loss_with_all_classes_hard(mode: str) -> None:
    terms = terms_of(build(mode, C, **dict.fromkeys(FACTORS, 1.0)), *draw())
    torch.testing.assert_close(terms["hard_ce"], terms["ce"])
    torch.testing.assert_close(terms["hard_nbod"], terms["nbod"])


def test_nested_loss_with_the_own_class_alone_hard() -> None:
    terms = terms_of(build("exclude", 1), *draw())
    assert terms["hard_ce"] == 0 and terms["hard_nbod"].abs() < 1e-8


def test_nested_loss_distillation_gives_gradients_to_both_experts() -> None:
    logits, targets = draw(2)
    logits.requires_grad_()
    terms_of(build(), logits, targets)["nbod"].backward()
    assert (grad(logits).abs().amax((1, 2)) > 0).all()


@pytest.mark.parametrize(("name", "factor"), list(zip(TERMS, FACTORS, strict=True)))
def test_nested_loss_each_term_has_its_own_factor(name: str, factor: str) -> None:
    once = terms_of(build(), *draw())
    changed: dict[str, Any] = {factor: 2 * FACTORS[factor]}
    twice = terms_of(build(**changed), *draw())
    for other in once:
        torch.testing.assert_close(twice[other], once[other] * (2 if other == name else 1))


# Numerical limits


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_nested_loss_extreme_logits(mode: str, kind: torch.dtype, autocast: bool, scale: float) -> None:
    signs = torch.randint(-1, 2, (3, 16, C), generator=torch.Generator().manual_seed(0))
    logits = (signs * scale).to(kind).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = build(mode)(logits, torch.arange(16) % C)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite() and loss > 0
    assert grad(logits).dtype == kind and grad(logits).isfinite().all()
    if scale == 1e4:  # the probabilities of the wrong classes are exactly zero here
        assert (logits.detach().float().softmax(2) == 0).any()


def test_nested_loss_computes_half_precision_logits_in_float32() -> None:
    logits, targets = draw()
    half = logits.bfloat16()
    torch.testing.assert_close(build()(half, targets), build()(half.float(), targets), rtol=0, atol=0)


def test_nested_loss_probability_of_zero_has_a_zero_gradient() -> None:
    logits = torch.zeros(2, 1, C)
    logits[0, 0, 0], logits[1, 0, 1] = 300.0, 300.0
    logits.requires_grad_()
    terms_of(build(), logits, torch.tensor([0]))["nbod"].backward()
    assert grad(logits).isfinite().all()
    assert torch.equal(grad(logits)[:, 0, 2:], torch.zeros(2, C - 2))
