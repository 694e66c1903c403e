import math

import pytest
import torch
from longtail.engine.gradients import Gradients
from torch import nn


def parts(scaled: bool = False):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=scaled)
    scaler.scale(model(torch.ones(4, 3)).square().sum()).backward()
    return model, optimizer, scaler


def norm_of(model: nn.Module) -> float:
    return math.sqrt(sum(float(one.grad.double().square().sum()) for one in model.parameters()))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.999, 1.001, 10.0])
def test_long_gradients_are_shortened_and_short_ones_left(scaled, share):
    model, *_ = parts()
    before = [one.grad.clone() for one in model.parameters()]
    whole = norm_of(model)
    model, optimizer, scaler = parts(scaled)
    norm = Gradients(optimizer, scaler, share * whole).bound()
    if not scaled:
        assert float(norm) == pytest.approx(whole)
    for one, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(one.grad, old * min(share, 1.0), rtol=1e-5, atol=0)


def test_without_a_bound_nothing_is_touched():
    for scaled in (False, True):
        model, optimizer, scaler = parts(scaled)
        before = [one.grad.clone() for one in model.parameters()]
        norm = Gradients(optimizer, scaler).bound()
        assert (norm is None) == scaled
        assert all(torch.equal(one.grad, old) for one, old in zip(model.parameters(), before, strict=True))


def test_a_step_that_a_scaler_would_skip_is_still_skipped():
    model, optimizer, scaler = parts(scaled=True)
    before = model.weight.detach().clone()
    model.weight.grad[0, 0] = torch.inf
    Gradients(optimizer, scaler, 1.0).bound()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(model.weight, before)
    assert scaler.get_scale() == 512.0


def test_a_frozen_parameter_has_no_gradient_to_bound():
    model, optimizer, scaler = parts()
    model.bias.grad = None
    Gradients(optimizer, scaler, 0.5).bound()
    assert norm_of_weight(model) == pytest.approx(0.5, rel=1e-5)


def norm_of_weight(model: nn.Linear) -> float:
    return float(model.weight.grad.norm())
