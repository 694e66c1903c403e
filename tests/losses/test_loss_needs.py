"""When the losses of one expert switch, and what they need beside logits."""

import pytest
import torch
from loss_parts import COUNTS, FEATURES, LOGITS, NAMES, SEQL, TARGETS, TEACHER, build, value

from longtail.errors import UserError
from longtail.losses import DiVE, HardClassSettings, NestedLoss, Prediction


@pytest.mark.parametrize(
    ("name", "first"),
    [*((name, 4) for name in ("CostSensitiveCE", "ClassBalanceCE", "ClassBalanceFocal", "FocalLoss", "CDT",
                              "InfluenceBalancedLoss", "DiVEKLD", "LogitAdjustment")),
     ("LDAMLoss", 3), *((name, None) for name in ("CrossEntropyLabelSmooth", "CrossEntropyLabelAwareSmooth", "SEQL"))],
)  # fmt: skip
def test_re_weighting_begins_in_the_released_epoch_and_can_be_switched_back(name, first):
    loss = build(name, *SEQL, "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 3)
    values = {}
    for epoch in (1, 2, 3, 4, 5, 1):
        loss.set_epoch(epoch)
        new = loss(LOGITS, TARGETS, FEATURES, TEACHER).item()
        assert values.setdefault(epoch, new) == new
    changed = [epoch for epoch in values if values[epoch] != values[1]]
    assert changed == ([] if first is None else list(range(first, 6)))
    last = value(name, *SEQL).item()
    assert (values[5] == last) == (name not in ("LDAMLoss", "FocalLoss"))  # these two are weighted by deferral only


def test_influence_needs_features_from_the_first_epoch_on():
    loss = build("InfluenceBalancedLoss", "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 9)
    loss.set_epoch(1)
    with pytest.raises(UserError, match=r"^LOSS.LOSS_TYPE InfluenceBalancedLoss needs the features of the images"):
        loss(LOGITS, TARGETS)


def test_the_factor_of_a_fitted_sample_is_bounded():
    logits = torch.tensor([[300.0, 0, 0, 0, 0], [12.0, 0, 0, 0, 0]]).requires_grad_()
    features = torch.zeros(2, 7).requires_grad_()
    loss = build("InfluenceBalancedLoss")(logits, torch.tensor([0, 0]), features)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all() and features.grad.isfinite().all()


def test_distillation_needs_a_teacher_in_training_only():
    loss = build("DiVEKLD", "LOSS.DiVEKLD.BASELOSS", "CrossEntropy")
    with pytest.raises(UserError, match=r"^LOSS.LOSS_TYPE DiVEKLD needs the logits of a teacher"):
        loss(LOGITS, TARGETS)
    torch.testing.assert_close(loss.eval()(LOGITS, TARGETS), value("CrossEntropy"))


def test_the_teacher_receives_no_gradient_and_an_equal_student_none_from_it():
    teacher, logits = TEACHER.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    terms = build("DiVEKLD").terms(Prediction(logits, TARGETS, None, teacher))
    assert list(terms) == ["distillation", "ce"]
    terms["distillation"].backward()
    assert teacher.grad is None
    assert terms["distillation"].abs() < 1e-12 and logits.grad.abs().max() < 1e-12


@pytest.mark.parametrize("base", [name for name in NAMES if name != "DiVEKLD"])
def test_any_loss_of_one_expert_can_be_the_base(base):
    teacher = value("DiVEKLD", *SEQL, "LOSS.DiVEKLD.BASELOSS", base, "LOSS.DiVEKLD.ALPHA", 0.0)
    torch.testing.assert_close(teacher, value(base, *SEQL))


def test_other_bases_are_refused():
    with pytest.raises(UserError, match=r"^LOSS.DiVEKLD.BASELOSS is 'DiVEKLD'; it must be another loss$"):
        build("DiVEKLD", "LOSS.DiVEKLD.BASELOSS", "DiVEKLD")
    with pytest.raises(
        UserError, match=r"^LOSS.DiVEKLD.BASELOSS compares experts; DiVEKLD needs a loss of one expert$"
    ):
        DiVE(NestedLoss(COUNTS, HardClassSettings(3)))
    with pytest.raises(UserError, match="unknown loss 'BSCE'"):
        build("DiVEKLD", "LOSS.DiVEKLD.BASELOSS", "BSCE")
