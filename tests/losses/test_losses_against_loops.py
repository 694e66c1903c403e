"""The losses of one expert against loops over samples and classes, written by hand."""

import math
from functools import cache

import pytest
from loss_parts import COUNTS, FEATURES, LOGITS, NAMES, SEQL, TARGETS, TEACHER, C, value


def probabilities(row):
    return [math.exp(z) / sum(math.exp(other) for other in row) for z in row]


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def nll(row, y):
    return -math.log(probabilities(row)[y])


def focal(row, y, gamma):
    wrong = [1 - sigmoid(z) if c == y else sigmoid(z) for c, z in enumerate(row)]
    return sum(-math.log(1 - q) * q**gamma for q in wrong)


@cache
def class_balanced(beta):
    raw = [(1 - beta) / (1 - beta**n) for n in COUNTS]
    return [C * w / sum(raw) for w in raw]


def smooth(row, y, epsilon):
    target = [(1 - epsilon) * (c == y) + epsilon / C for c in range(C)]
    return -sum(t * math.log(p) for t, p in zip(target, probabilities(row), strict=True))


def ldam(row, y):
    return nll([30 * (z - (0.5 * (3 / COUNTS[c]) ** 0.25 if c == y else 0)) for c, z in enumerate(row)], y)


def equalized(row, y):  # the two classes below 10 of 102 images are left out unless they are the target
    return -math.log(math.exp(row[y]) / sum(math.exp(z) for c, z in enumerate(row) if c < 3 or c == y))


def influence_balanced(row, y, h):
    inverse = [1 / n for n in COUNTS]
    error = sum(abs(p - (c == y)) for c, p in enumerate(probabilities(row)))
    factor = 1000 / (error * sum(map(abs, h)) + 1e-3)
    return C * inverse[y] / sum(inverse) * nll(row, y) * factor


def distilled(row, y, teacher, power):
    student = probabilities([z / 3 for z in row])
    raised = [p**power for p in probabilities([z / 3 for z in teacher])]
    q = [p / sum(raised) for p in raised]
    divergence = sum(a * math.log(a / b) for a, b in zip(q, student, strict=True))
    return 0.5 * 9 * divergence + 0.5 * nll([z + math.log(n) for z, n in zip(row, COUNTS, strict=True)], y)


def adjusted(row, y):
    return nll([z + 0.7 * math.log(n / 102) for z, n in zip(row, COUNTS, strict=True)], y)


def sine(half_turns):
    return math.sin(math.pi * half_turns)


def u(y):
    return (COUNTS[y] - 3) / 47


AWARE = "LOSS.CrossEntropyLabelAwareSmooth.SHAPE"
ORACLES = [  # name, further settings, loss of a sample, weights of the classes where their mean divides by their sum
    ("CostSensitiveCE", [], lambda z, y, h, t: nll(z, y), [3 / n for n in COUNTS]),
    ("CostSensitiveCE", ["LOSS.CostSensitiveCE.GAMMA", 0.5], lambda z, y, h, t: nll(z, y), [n**-0.5 for n in COUNTS]),
    ("ClassBalanceCE", [], lambda z, y, h, t: nll(z, y), class_balanced(0.999)),
    ("ClassBalanceCE", ["LOSS.ClassBalanceCE.BETA", 1.0], lambda z, y, h, t: nll(z, y), [1 / n for n in COUNTS]),
    ("ClassBalanceFocal", [], lambda z, y, h, t: class_balanced(0.999)[y] * focal(z, y, 0.5), None),
    ("FocalLoss", [], lambda z, y, h, t: focal(z, y, 2), None),
    ("FocalLoss", ["LOSS.FocalLoss.GAMMA", 0.0], lambda z, y, h, t: focal(z, y, 0), None),
    ("CrossEntropyLabelSmooth", [], lambda z, y, h, t: smooth(z, y, 0.1), None),
    ("CrossEntropyLabelAwareSmooth", [], lambda z, y, h, t: smooth(z, y, 0.1 + 0.3 * sine(u(y) / 2)), None),
    ("CrossEntropyLabelAwareSmooth", [AWARE, "linear"], lambda z, y, h, t: smooth(z, y, 0.1 + 0.3 * u(y)), None),
    (
        "CrossEntropyLabelAwareSmooth",
        [AWARE, "convex"],
        lambda z, y, h, t: smooth(z, y, 0.4 + 0.3 * sine(1.5 + u(y) / 2)),
        None,
    ),
    ("LDAMLoss", [], lambda z, y, h, t: ldam(z, y), None),
    ("CDT", [], lambda z, y, h, t: nll([a / (50 / n) ** 0.2 for a, n in zip(z, COUNTS, strict=True)], y), None),
    ("SEQL", SEQL, lambda z, y, h, t: equalized(z, y), None),
    ("InfluenceBalancedLoss", [], lambda z, y, h, t: influence_balanced(z, y, h), None),
    ("DiVEKLD", [], lambda z, y, h, t: distilled(z, y, t, 1), None),
    ("DiVEKLD", ["LOSS.DiVEKLD.POWER_NORM", True], lambda z, y, h, t: distilled(z, y, t, 0.5), None),
    ("LogitAdjustment", ["LOSS.LogitAdjustment.TAU", 0.7], lambda z, y, h, t: adjusted(z, y), None),
]


@pytest.mark.parametrize(("name", "overrides", "each", "weights"), ORACLES)
def test_equals_the_naive_loss(name, overrides, each, weights):
    rows = zip(LOGITS.tolist(), TARGETS.tolist(), FEATURES.tolist(), TEACHER.tolist(), strict=True)
    share = [1.0 if weights is None else weights[y] for y in TARGETS.tolist()]
    total = sum(w * each(*row) for w, row in zip(share, rows, strict=True))
    assert value(name, *overrides).item() == pytest.approx(total / sum(share), rel=1e-5)


def test_every_loss_has_its_loop():
    assert {name for name, *_ in ORACLES} == set(NAMES)
