"""Worked examples of the released losses: inputs that are formulas, and values to six digits."""

import math

import pytest
import torch

from longtail.config import load_config
from longtail.losses import Prediction, build_loss

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


CBCE, AWARE = "LOSS.ClassBalanceCE.BETA", "LOSS.CrossEntropyLabelAwareSmooth.SHAPE"
DIVE = {"LOSS.DiVEKLD.POWER_NORM": True, "LOSS.DiVEKLD.TEMPERATURE": 2.0}
FEATURES = torch.tensor([[1.0, 2.0], [0.5, 0.5], [3.0, 1.0], [0.0, 4.0]])


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("CrossEntropy", {}, 2.162361),
        ("CostSensitiveCE", {}, 1.601043),
        ("CostSensitiveCE", {"LOSS.CostSensitiveCE.GAMMA": 0.5}, 1.949224),
        ("ClassBalanceCE", {CBCE: 0.9}, 1.861532),
        ("ClassBalanceCE", {CBCE: 0.9999}, 1.601377),
        ("ClassBalanceFocal", {"LOSS.ClassBalanceFocal.BETA": 0.9999, "LOSS.ClassBalanceFocal.GAMMA": 1.0}, 2.024225),
        ("FocalLoss", {}, 2.291629),
        ("CrossEntropyLabelSmooth", {}, 2.188168),
        ("CrossEntropyLabelAwareSmooth", {AWARE: "concave"}, 2.238160),
        ("CrossEntropyLabelAwareSmooth", {AWARE: "linear"}, 2.257473),
        ("CrossEntropyLabelAwareSmooth", {AWARE: "convex"}, 2.281185),
        ("LDAMLoss", {}, 55.786110),
        ("CDT", {}, 1.858171),
        ("BalancedSoftmaxCE", {}, 2.471115),
        ("LogitAdjustment", {}, 2.471115),
        ("SEQL", {"LOSS.SEQL.GAMMA": 1.0, "LOSS.SEQL.LAMBDA": 0.1}, 1.676558),
        ("InfluenceBalancedLoss", {}, 761.4004),
        ("DiVEKLD", DIVE, 1.441784),
    ],
)
def test_worked_example_of_one_expert(name, settings, expected):
    options = ["LOSS.LOSS_TYPE", name, *(part for pair in settings.items() for part in pair)]
    loss = build_loss(load_config(None, options), COUNTS)
    loss.set_epoch(1)
    teacher = logits(1) if name == "DiVEKLD" else None
    assert loss(logits(0), TARGETS, FEATURES, teacher).item() == pytest.approx(expected, rel=1e-6, abs=2e-6)


@pytest.mark.parametrize(
    ("name", "buffer", "expected"),
    [
        ("ClassBalanceCE", "weights", [0.130436, 0.325114, 0.649578, 1.298507, 2.596365]),
        ("CrossEntropyLabelAwareSmooth", "epsilon", [0.4, 0.264084, 0.173646, 0.124774, 0.1]),
        ("LDAMLoss", "margin", [0.236435, 0.297302, 0.353553, 0.420448, 0.5]),
        ("CDT", "temperature", [1, 1.201124, 1.379730, 1.584893, 1.820564]),
    ],
)
def test_worked_example_of_what_depends_on_the_class(name, buffer, expected):
    loss = build_loss(load_config(None, ["LOSS.LOSS_TYPE", name, CBCE, 0.9999]), COUNTS)
    assert getattr(loss, buffer).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "epoch", "expected"),
    [
        ("CrossEntropy", 161, 2.162361),
        ("BalancedSoftmaxCE", 1, 2.162361),
        ("BalancedSoftmaxCE", 159, 2.162361),
        ("BalancedSoftmaxCE", 160, 2.162361),
        ("BalancedSoftmaxCE", 161, 2.471115),
        ("CostSensitiveCE", 160, 2.162361),
        ("CostSensitiveCE", 161, 1.601043),
        ("CDT", 160, 2.162361),
        ("CDT", 161, 1.858171),
        ("LDAMLoss", 159, 55.786110),
        ("LDAMLoss", 160, 41.783615),
    ],
)
def test_worked_example_of_deferral(name, epoch, expected):
    options = ["LOSS.LOSS_TYPE", name, "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 160]
    loss = build_loss(load_config(None, options), COUNTS)
    loss.set_epoch(epoch)
    assert loss(logits(0), TARGETS).item() == pytest.approx(expected, rel=1e-6, abs=2e-6)


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
    terms = nested().terms(Prediction(z, TARGETS))
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
    terms = nested(**{"LOSS.HCM_MODE": "exclude"}).terms(Prediction(z, TARGETS))
    assert terms["hard_ce"].item() == pytest.approx(4.533595, abs=2e-6)
    assert terms["ce"].item() == pytest.approx(5.374891, abs=2e-6)


def test_worked_example_with_the_prior_of_frequencies():
    z = torch.stack([logits(k) for k in range(3)])
    terms = nested(**{"LOSS.HCM_PRIOR": "frequencies"}).terms(Prediction(z, TARGETS))
    assert terms["hard_ce"].item() == pytest.approx(7.918753, abs=2e-6)
    assert terms["ce"].item() == pytest.approx(5.374891, abs=2e-6)
