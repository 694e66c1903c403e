import pytest
import torch
from torch import nn

from longtail.config import load_config
from longtail.engine.optim import build_optimizer, learning_rates
from tests.helpers.golden import record

CASES = record("learning_rates")["cases"]


def rates(**keys):
    sections = {"BASE_LR": "OPTIMIZER.", "MAX_EPOCH": ""}
    overrides = [(f"TRAIN.{sections.get(key, 'LR_SCHEDULER.')}{key}", value) for key, value in keys.items()]
    return learning_rates(load_config(None, [part for pair in overrides for part in pair]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['options'][3]}-{len(case['lr_by_epoch'])}")
def test_rates_are_the_released_ones(case):
    assert learning_rates(load_config(None, case["options"])) == pytest.approx(case["lr_by_epoch"], rel=1e-12, abs=0)


def test_a_milestone_acts_in_its_own_epoch():
    expected = [1.0, 1.0, 0.1, 0.1, 0.01]
    found = rates(TYPE="multistep", LR_STEP=[3, 5], LR_FACTOR=0.1, BASE_LR=1, MAX_EPOCH=5)
    assert found == pytest.approx(expected, rel=1e-12)


def test_warm_up_rises_from_a_third_and_is_over_in_its_last_epoch():
    found = rates(TYPE="warmup", WARM_EPOCH=5, BASE_LR=0.1, MAX_EPOCH=6, LR_STEP=[])
    assert found == pytest.approx([0.14 / 3, 0.06, 0.22 / 3, 0.26 / 3, 0.1, 0.1], rel=1e-12)


def test_no_warm_up_is_multistep():
    settings = {"LR_STEP": [2, 3], "BASE_LR": 0.1, "MAX_EPOCH": 4}
    assert rates(TYPE="warmup", WARM_EPOCH=0, **settings) == rates(TYPE="multistep", **settings)


def test_a_milestone_inside_the_warm_up_multiplies():
    found = rates(TYPE="warmup", WARM_EPOCH=4, LR_STEP=[2], LR_FACTOR=0.1, BASE_LR=1, MAX_EPOCH=4)
    assert found == pytest.approx([0.5, 0.2 / 3, 0.25 / 3, 0.1], rel=1e-12)


def test_the_cosine_ends_at_its_floor_and_stays_there():
    found = rates(TYPE="cosine", BASE_LR=0.2, MAX_EPOCH=6, COSINE_DECAY_END=4)
    assert found[1] == pytest.approx((0.2 + 1e-4) / 2, rel=1e-12)
    assert found[3:] == pytest.approx([1e-4] * 3, rel=1e-12)
    assert all(rate > 0 for rate in found)


# ------------------------------------------------------------------ optimiser


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def build(model, *overrides):
    return build_optimizer(load_config(None, list(overrides)), model, fused=False)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_all_parameters_are_in_one_group_with_weight_decay(kind):
    name = "ADAM" if kind is torch.optim.Adam else "SGD"
    model = network()
    optimizer = build(model, "TRAIN.OPTIMIZER.TYPE", name, "TRAIN.OPTIMIZER.WEIGHT_DECAY", 3e-4)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in model.parameters()]
    assert (group["weight_decay"], group["lr"]) == (3e-4, 1e-3)


def test_sgd_is_nesterovs():
    (group,) = build(network(), "TRAIN.OPTIMIZER.MOMENTUM", 0.8).param_groups
    assert (group["nesterov"], group["momentum"], group["dampening"]) == (True, 0.8, 0)


def test_sgd_without_momentum_is_plain():
    (group,) = build(network(), "TRAIN.OPTIMIZER.MOMENTUM", 0).param_groups
    assert (group["nesterov"], group["momentum"]) == (False, 0)


def test_frozen_parameters_are_left_out():
    model = network()
    model[0].requires_grad_(False)
    (group,) = build(model).param_groups
    assert len(group["params"]) == 4
    assert all(parameter.requires_grad for parameter in group["params"])


def test_two_steps_follow_the_formula():
    rate, momentum, decay = 0.1, 0.9, 0.01
    model = nn.Linear(2, 1, bias=False)
    w = model.weight.detach().clone()
    optimizer = build(
        model, "TRAIN.OPTIMIZER.BASE_LR", rate, "TRAIN.OPTIMIZER.MOMENTUM", momentum,
        "TRAIN.OPTIMIZER.WEIGHT_DECAY", decay,
    )  # fmt: skip
    velocity = torch.zeros_like(w)
    for gradient in (torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]])):
        model.weight.grad = gradient.clone()
        optimizer.step()
        decayed = gradient + decay * w
        velocity = momentum * velocity + decayed
        w = w - rate * (decayed + momentum * velocity)
    torch.testing.assert_close(model.weight.detach(), w)
