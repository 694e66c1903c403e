"""NIL_NBOD_margin: the loss of NCL on cosines with the margins of DBM."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses import HardClassSettings, NestedLoss, NestedMarginLoss, build_loss

COUNTS = [50, 30, 12, 7, 3, 2]
C, SCALE, K, TAU = len(COUNTS), 32.0, 0.3, 0.7
FACTORS = {"distillation_factor": 0.47, "hard_distillation_factor": 0.69}


def draw(experts: int = 3, samples: int = 8) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    cosines = torch.tanh(torch.randn(experts, samples, C, generator=random, dtype=torch.float64))
    return cosines, torch.randint(C, (samples,), generator=random)


def build(mode: str = "zero", **settings: Any) -> NestedMarginLoss:
    hard = HardClassSettings(3, mode=mode)
    return NestedMarginLoss(COUNTS, hard, **({"scale": SCALE, "largest": K, "power": TAU} | FACTORS | settings))


def softmax(logits: list[float], kept: list[int], fill: float) -> list[float]:
    powers = [math.exp(z) if c in kept else fill for c, z in enumerate(logits)]
    return [power / sum(powers) for power in powers]


def loop(cosines: Tensor, targets: Tensor, mode: str) -> float:
    """Return the loss, one sample, one expert, one pair of experts, one class at a time."""
    total, experts, samples = 0.0, len(cosines), len(targets)
    for b, y in enumerate(targets.tolist()):
        rows: list[list[float]] = cosines[:, b].tolist()
        hard = [y, *sorted((c for c in range(C) if c != y), key=lambda c: -rows[0][c])[:2]]
        adjusted = []
        for row in rows:
            margin = K * (COUNTS[y] / min(COUNTS)) ** -TAU
            if row.index(max(row)) != y:
                margin += margin * (1 - row[y]) / 2
            angles = [math.acos(value) + (margin if c == y else 0) for c, value in enumerate(row)]
            adjusted.append([SCALE * math.cos(a) + math.log(n) for a, n in zip(angles, COUNTS, strict=True)])
        for kept, factor, fill in ((list(range(C)), 0.47, 0.0), (hard, 0.69, 1.0 if mode == "zero" else 0.0)):
            p = [softmax(logits, kept, fill) for logits in adjusted]
            summed = range(C) if fill else kept
            for i in range(experts):
                total -= math.log(p[i][y]) / samples
                for j in range(experts):
                    if j != i:
                        terms = (p[j][c] * (math.log(p[j][c]) - math.log(p[i][c] + 1e-9)) for c in summed if p[j][c])
                        total += factor / (experts - 1) * sum(terms) / samples
    return total


@pytest.mark.parametrize("mode", ["zero", "exclude"])
@pytest.mark.parametrize("experts", [2, 3])
def test_nested_margin_matches_loop(mode: str, experts: int) -> None:
    cosines, targets = draw(experts)
    assert build(mode)(SCALE * cosines, targets).item() == pytest.approx(loop(cosines, targets, mode), rel=1e-6)


def test_nested_margin_without_margin_is_nested_loss() -> None:
    cosines, targets = draw()
    expected = NestedLoss(COUNTS, HardClassSettings(3), **FACTORS)(SCALE * cosines, targets)
    torch.testing.assert_close(build(largest=0.0)(SCALE * cosines, targets), expected)


def test_nested_margin_raises_the_cross_entropy_of_every_expert() -> None:
    cosines, targets = draw()
    for number in range(3):
        one = SCALE * cosines[number : number + 1]
        assert build()(one, targets) > build(largest=0.0)(one, targets)


def test_nested_margin_is_invariant_to_the_order_of_the_samples() -> None:
    cosines, targets = draw()
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(build()(SCALE * cosines[:, order], targets[order]), build()(SCALE * cosines, targets))


def test_nested_margin_gradients_are_finite_at_the_poles() -> None:
    logits = torch.full((2, 3, C), SCALE).requires_grad_()
    build()(logits, torch.tensor([0, 3, 5])).backward()
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())


def test_build_reads_margin_and_scale() -> None:
    factors = "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR"
    overrides = ["LOSS.DifficultyMargin.K", 0.2, factors, 0.4, f"{factors}_HCM", 0.5]
    cfg = load_config("cifar10_im100,ncl_tuned", overrides)
    loss = build_loss(cfg, [5000, 500, 50, *[50] * 7])
    assert isinstance(loss, NestedMarginLoss)
    assert (loss.distillation_factor, loss.hard_distillation_factor) == (0.4, 0.5)
    assert loss.scale == 32 and float(loss.margins.max()) == pytest.approx(0.2)
    assert float(loss.margins[0]) == pytest.approx(0.002)
    assert loss.hard == HardClassSettings.from_config(cfg) and loss.hard.number == 3


def test_build_refuses_heads_without_angles() -> None:
    cfg = load_config("cifar10_im100,ncl_tuned", ["CLASSIFIER.TYPE", "FC"])
    with pytest.raises(UserError, match=r"NIL_NBOD_margin needs angles: set CLASSIFIER.TYPE cos"):
        build_loss(cfg, [10] * 10)
