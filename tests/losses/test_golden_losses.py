"""Values and gradients of the releases, and the worked examples of their description."""

import math

import pytest
import torch
from golden_records import loss_cases, relative_error, tensor

from longtail.config import load_config
from longtail.losses import build_loss

NESTED = loss_cases("nested_losses", ["NIL_NBOD"])
SINGLE = loss_cases("bag_of_tricks_losses", ["CrossEntropy", "BalancedSoftmaxCE"])
assert (len(NESTED), len(SINGLE)) == (20, 10)


def check(record, case):
    loss = build_loss(load_config(None, case["options"]), case["class_counts"])
    loss.set_epoch(case.get("epoch", 1))
    logits = tensor(record, f"{case['id']}.logits").clone().requires_grad_()
    value = loss(logits, tensor(record, f"{case['id']}.targets").long())
    value.backward()
    assert value.item() == pytest.approx(case["loss"], rel=1e-5)
    assert relative_error(logits.grad, tensor(record, f"{case['id']}.grad")) < 1e-5


@pytest.mark.parametrize("case", NESTED, ids=lambda case: f"{case['id']}-{case['experts']}-experts")
def test_the_nested_loss_is_the_released_one(case):
    check("nested_losses", case)


@pytest.mark.parametrize("case", SINGLE, ids=lambda case: f"{case['id']}-{case['options'][1]}-epoch-{case['epoch']}")
def test_losses_of_one_expert_are_the_released_ones(case):
    check("bag_of_tricks_losses", case)


# ------------------------------------------------------------------ worked examples

COUNTS = [100, 40, 20, 10, 5]
TARGETS = torch.tensor([0, 3, 4, 1])


def logits(expert):
    return torch.tensor([[2 * math.sin(1 + 0.7 * expert + 1.3 * b + 0.9 * c) for c in range(5)] for b in range(4)])


def nested(**overrides):
    settings = {
        "LOSS.LOSS_TYPE": "NIL_NBOD", "LOSS.HCM_N": 3, "LOSS.CE_RATIO": 1.0, "LOSS.HCM_RATIO": 1.0,
        "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR": 0.6, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM": 0.6,
    } | overrides  # fmt: skip
    return build_loss(load_config(None, [part for pair in settings.items() for part in pair]), COUNTS)


@pytest.mark.parametrize(
    ("name", "deferred", "epoch", "expected"),
    [
        ("CrossEntropy", False, 1, 2.162361),
        ("CrossEntropy", True, 161, 2.162361),
        ("BalancedSoftmaxCE", False, 1, 2.471115),
        ("BalancedSoftmaxCE", True, 1, 2.162361),
        ("BalancedSoftmaxCE", True, 160, 2.162361),
        ("BalancedSoftmaxCE", True, 161, 2.471115),
    ],
)
def test_worked_example_of_one_expert(name, deferred, epoch, expected):
    options = ["LOSS.LOSS_TYPE", name, "TRAIN.TWO_STAGE.DRW", deferred, "TRAIN.TWO_STAGE.START_EPOCH", 160]
    loss = build_loss(load_config(None, options), COUNTS)
    loss.set_epoch(epoch)
    assert loss(logits(0), TARGETS).item() == pytest.approx(expected, abs=2e-6)


def test_deferral_can_be_switched_back():
    options = ["LOSS.LOSS_TYPE", "BalancedSoftmaxCE", "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 160]
    loss = build_loss(load_config(None, options), COUNTS)
    values = []
    for epoch in (161, 160):
        loss.set_epoch(epoch)
        values.append(loss(logits(0), TARGETS).item())
    assert values == pytest.approx([2.471115, 2.162361], abs=2e-6)


def test_worked_example_of_three_experts():
    z = torch.stack([logits(k) for k in range(3)]).requires_grad_()
    terms = nested().terms(z, TARGETS)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {"ce": 5.374891, "hard_ce": 4.576833, "nbod": 0.771414, "hard_nbod": 0.722139}, abs=2e-6
    )
    loss = nested()(z, TARGETS)
    assert loss.item() == pytest.approx(11.445277, abs=5e-6)
    loss.backward()
    assert z.grad[0, 0].tolist() == pytest.approx([-0.364118, 0.310817, 0.052163, 0.001373, -0.000443], abs=1e-6)
    assert z.grad[1, 0].tolist() == pytest.approx([-0.039615, 0.040659, -0.000925, -0.000114, -0.000259], abs=1e-6)


def test_worked_example_with_classes_left_out():
    z = torch.stack([logits(k) for k in range(3)])
    terms = nested(**{"LOSS.HCM_MODE": "exclude"}).terms(z, TARGETS)
    assert terms["hard_ce"].item() == pytest.approx(4.533595, abs=2e-6)
    assert terms["ce"].item() == pytest.approx(5.374891, abs=2e-6)
