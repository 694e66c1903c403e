"""Soft targets: every loss of the registry takes them, or refuses them in one line."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.errors import UserError
from longtail.losses import LOSSES
from longtail.methods import loss_terms
from longtail.models import Output
from tests.helpers.losses import FEATURES, LOGITS, SEQL, TARGETS, TEACHER, B, C, build

SOFT = torch.rand(B, C, generator=torch.Generator().manual_seed(3), dtype=torch.float64).softmax(1)
INVERSE = ["LOSS.CLASS_WEIGHTS.TYPE", "inverse"]
TAKEN = [name for name in LOSSES if build(name).takes_soft_targets]


def value(name: str, targets: Tensor, *overrides: Any, logits: Tensor = LOGITS) -> Tensor:
    loss = build(name, *SEQL, *overrides)
    logits = torch.stack([logits, TEACHER]) if loss.nested else logits
    teacher = TEACHER.to(logits.dtype) if loss.needs_teacher else None
    result: Tensor = loss(logits, targets, FEATURES, teacher)
    return result


def test_losses_that_take_soft_targets() -> None:
    assert set(TAKEN) == {
        *("BalancedSoftmaxCE", "CDT", "ClassBalanceCE", "ClassBalanceFocal", "CostSensitiveCE", "CrossEntropy"),
        *("CrossEntropyLabelSmooth", "DiVEKLD", "FocalLoss", "LogitAdjustment", "VectorScaling"),
    }


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_takes_soft_targets_or_refuses_them(name: str) -> None:
    if name in TAKEN:
        assert value(name, SOFT).isfinite()
        return
    kind = type(build(name)).__name__
    message = rf"^the loss {kind} needs class ids \(B,\), not soft targets \[{B}, {C}\]; losses that take them are .*"
    with pytest.raises(UserError, match=message) as error:
        value(name, SOFT)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("weighted", [False, True])
def test_one_hot_targets_are_class_ids(name: str, weighted: bool) -> None:
    overrides = INVERSE if weighted and build(name).takes_class_weights else []
    one_hot = F.one_hot(TARGETS, C).double()
    torch.testing.assert_close(value(name, one_hot, *overrides), value(name, TARGETS, *overrides))


@pytest.mark.parametrize("name", TAKEN)
def test_soft_targets_average_the_losses_of_all_classes(name: str) -> None:
    """sum_c t_c w_c l(z, c) / sum_c t_c w_c for every sample; the focal losses are not divided by the weights."""
    loss = build(name).eval()  # DiVE: the part on the labels
    base = getattr(loss, "base", loss)
    weights = torch.ones(C) if base.class_weights is None else base.class_weights
    total, norm = torch.zeros(()), torch.zeros(())
    for i in range(B):
        for c in range(C):
            alone = loss(LOGITS[[i]], torch.tensor([c]), FEATURES[[i]])
            total = total + SOFT[i, c] * alone * (1 if "Focal" in name else weights[c])
            norm = norm + SOFT[i, c] * (1 if "Focal" in name else weights[c])
    torch.testing.assert_close(loss(LOGITS, SOFT, FEATURES), (total / norm).double())


@pytest.mark.parametrize("name", TAKEN)
def test_soft_targets_in_half_precision(name: str) -> None:
    low = value(name, SOFT.bfloat16(), logits=LOGITS.bfloat16())
    assert low.dtype == torch.float32 and low.isfinite()


@pytest.mark.parametrize("name", TAKEN)
def test_soft_targets_give_gradients_at_extreme_logits(name: str) -> None:
    logits = (LOGITS.sign() * 1e4).float().requires_grad_()
    value(name, SOFT.float(), logits=logits).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_loss_terms_refuse_soft_targets_too() -> None:
    output = Output(LOGITS[None], FEATURES[None])
    with pytest.raises(UserError, match=r"^the loss LDAM needs class ids"):
        loss_terms(build("LDAMLoss"), output, targets=SOFT)
