"""DiVE: distillation of a teacher's softened predictions."""

import math

import pytest
import torch

from longtail.errors import UserError
from longtail.losses import DiVE, HardClassSettings, NestedLoss, Prediction
from tests.helpers.losses import (
    COUNTS,
    LOGITS,
    NEEDED,
    SEQL,
    SINGLE_HEAD,
    TARGETS,
    TEACHER,
    build,
    grad,
    nll,
    probabilities,
    rows_of,
    value,
)
from tests.helpers.worked_example import example_value

BASE = "LOSS.DiVEKLD.BASELOSS"


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_dive_matches_loop(power: float) -> None:
    losses = []
    for row, y, teacher in zip(rows_of(LOGITS), TARGETS.tolist(), rows_of(TEACHER), strict=True):
        student = probabilities([z / 3 for z in row])
        raised = [p**power for p in probabilities([z / 3 for z in teacher])]
        q = [p / sum(raised) for p in raised]
        divergence = sum(a * math.log(a / b) for a, b in zip(q, student, strict=True))
        balanced = nll([z + math.log(n) for z, n in zip(row, COUNTS, strict=True)], y)
        losses.append(0.5 * 9 * divergence + 0.5 * balanced)
    found = value("DiVEKLD", "LOSS.DiVEKLD.POWER_NORM", power != 1, "LOSS.DiVEKLD.POWER", power)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_dive_worked_example() -> None:
    keys = ["LOSS.DiVEKLD.POWER_NORM", True, "LOSS.DiVEKLD.TEMPERATURE", 2.0]
    assert example_value("DiVEKLD", *keys) == pytest.approx(1.441784, abs=2e-6)


def test_dive_needs_a_teacher_in_training_only() -> None:
    loss = build("DiVEKLD", BASE, "CrossEntropy")
    assert loss.needs_teacher
    with pytest.raises(UserError, match=r"^LOSS.LOSS_TYPE DiVEKLD needs the logits of a teacher"):
        loss(LOGITS, TARGETS)
    torch.testing.assert_close(loss.eval()(LOGITS, TARGETS), value("CrossEntropy"))


def test_dive_gradients_of_teacher_and_of_an_equal_student() -> None:
    teacher, logits = TEACHER.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    terms = build("DiVEKLD").terms(Prediction(logits, TARGETS, None, teacher))
    assert list(terms) == ["distillation", "ce"]
    terms["distillation"].backward()
    assert teacher.grad is None
    assert terms["distillation"].abs() < 1e-12 and grad(logits).abs().max() < 1e-12


@pytest.mark.parametrize("base", [name for name in SINGLE_HEAD if name != "DiVEKLD"])
def test_dive_with_alpha_0_is_its_base_loss(base: str) -> None:
    torch.testing.assert_close(
        value("DiVEKLD", *SEQL, BASE, base, *NEEDED.get(base, []), "LOSS.DiVEKLD.ALPHA", 0.0), value(base, *SEQL)
    )


def test_dive_passes_epoch_and_needs_of_the_base_loss_on() -> None:
    loss = build("DiVEKLD", BASE, "InfluenceBalancedLoss", "TRAIN.TWO_STAGE.DRW", True)
    assert isinstance(loss, DiVE) and loss.needs_features
    loss.set_epoch(1)
    assert not loss.base.deferral.on
    loss.set_epoch(2)
    assert loss.base.deferral.on


def test_dive_refuses_other_bases() -> None:
    with pytest.raises(UserError, match=r"^LOSS.DiVEKLD.BASELOSS is 'DiVEKLD'; it must be another loss$"):
        build("DiVEKLD", BASE, "DiVEKLD")
    message = r"^LOSS.DiVEKLD.BASELOSS compares experts; DiVEKLD needs a loss of one expert$"
    with pytest.raises(UserError, match=message):
        DiVE(NestedLoss(COUNTS, HardClassSettings(3)))
    with pytest.raises(UserError, match="unknown loss 'BSCE'"):
        build("DiVEKLD", BASE, "BSCE")
