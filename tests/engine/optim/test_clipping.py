"""Norm of the gradients, and clipping, with and without an fp16 scaler."""

import math

import pytest
import torch
from torch import Tensor, nn

from longtail.engine.optim import GradientClipping

Parts = tuple[nn.Linear, torch.optim.Optimizer, torch.amp.GradScaler]


def parts(scaled: bool = False) -> Parts:
    """Return a model with gradients, its optimizer and its scaler."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=scaled)
    scaler.scale(model(torch.ones(4, 3)).square().sum()).backward()
    return model, optimizer, scaler


def gradients(model: nn.Linear) -> list[Tensor]:
    """Return copies of the gradients."""
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def norm_of(model: nn.Linear) -> float:
    return math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients(model)))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("factor", [0.1, 0.999, 1.001, 10.0])
def test_clip_scales_only_gradients_above_the_largest_norm(scaled: bool, factor: float) -> None:
    model, *_ = parts()
    before, whole = gradients(model), norm_of(model)
    model, optimizer, scaler = parts(scaled)
    norm = GradientClipping(optimizer, scaler, max_norm=factor * whole).clip()
    assert (norm is None) == scaled
    if norm is not None:
        assert float(norm) == pytest.approx(whole)
    for gradient, old in zip(gradients(model), before, strict=True):
        torch.testing.assert_close(gradient, old * min(factor, 1.0), rtol=1e-5, atol=0)


@pytest.mark.parametrize("scaled", [False, True])
def test_clip_without_a_largest_norm_only_measures(scaled: bool) -> None:
    model, optimizer, scaler = parts(scaled)
    before = gradients(model)
    norm = GradientClipping(optimizer, scaler).clip()
    assert (norm is None) == scaled
    if norm is not None:
        assert float(norm) == pytest.approx(norm_of(model))
    assert all(torch.equal(gradient, old) for gradient, old in zip(gradients(model), before, strict=True))


def test_clip_leaves_a_step_that_the_scaler_skips() -> None:
    model, optimizer, scaler = parts(scaled=True)
    before = model.weight.detach().clone()
    assert model.weight.grad is not None
    model.weight.grad[0, 0] = torch.inf
    GradientClipping(optimizer, scaler, max_norm=1.0).clip()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(model.weight, before)
    assert scaler.get_scale() == 512.0


def test_clip_without_a_gradient_of_a_parameter() -> None:
    model, optimizer, scaler = parts()
    model.bias.grad = None
    GradientClipping(optimizer, scaler, max_norm=0.5).clip()
    assert norm_of(model) == pytest.approx(0.5, rel=1e-5)
