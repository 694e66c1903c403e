"""The base class of the losses, and `build_loss`."""

import math

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses import LOSSES, BalancedSoftmax, CrossEntropy, Loss, Prediction, build_loss, total
from longtail.losses.base import deferred_start, is_target, log_prior
from tests.helpers.losses import COUNTS, FEATURES, LOGITS, TARGETS, TEACHER, B, C, build


class Recorded(Loss):
    """A loss with two terms that remembers its input."""

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        self.seen = prediction
        return {"first": prediction.logits.mean(), "second": 2 * prediction.logits.mean()}


def test_prediction_features_and_teacher_are_optional() -> None:
    prediction = Prediction(LOGITS, TARGETS)
    assert prediction.features is None and prediction.teacher_logits is None


def test_loss_forward_is_the_sum_of_the_terms() -> None:
    loss, logits = Recorded(), LOGITS.clone().requires_grad_()
    value = loss(logits, TARGETS, FEATURES, TEACHER)
    assert loss.seen == Prediction(logits, TARGETS, FEATURES, TEACHER)
    assert value.shape == ()
    torch.testing.assert_close(value, 3 * LOGITS.mean())
    value.backward()
    torch.testing.assert_close(logits.grad, torch.full((B, C), 3 / (B * C), dtype=torch.float64))


def test_loss_forward_passes_missing_inputs_as_none() -> None:
    loss = Recorded()
    loss(LOGITS, TARGETS)
    assert loss.seen[2:] == (None, None, None)


def test_loss_forward_without_terms_is_not_implemented() -> None:
    with pytest.raises(NotImplementedError):
        Loss()(LOGITS, TARGETS)


def test_loss_defaults_are_those_of_one_head_on_labels() -> None:
    loss = Loss()
    assert (loss.nested, loss.needs_features, loss.needs_teacher) == (False, False, False)
    assert loss.deferral.on


@pytest.mark.parametrize("name", list(LOSSES))
def test_loss_forward_equals_its_terms(name: str) -> None:
    loss = build(name, "LOSS.SEQL.GAMMA", 1.0)
    logits = torch.stack([LOGITS, TEACHER]) if loss.nested else LOGITS
    prediction = Prediction(logits, TARGETS, FEATURES, TEACHER if loss.needs_teacher else None)
    torch.testing.assert_close(loss(*prediction[:4]), sum(loss.terms(prediction).values()))


def test_total_sums_scalars_with_gradients() -> None:
    one, other = torch.tensor(1.5, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    result = total([one, 3 * other])
    assert result.item() == 7.5
    assert [g.item() for g in torch.autograd.grad(result, (one, other))] == [1.0, 3.0]


def test_log_prior_counts_and_frequencies() -> None:
    counts, frequencies = log_prior([3, 1]), log_prior([3, 1], "frequencies")
    assert counts.tolist() == pytest.approx([math.log(3), 0])
    assert frequencies.tolist() == pytest.approx([math.log(0.75), math.log(0.25)])
    assert counts.dtype == torch.float64


def test_is_target_is_one_hot() -> None:
    assert is_target(torch.tensor([1, 0]), 3).tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(("deferred", "start"), [(False, None), (True, 7)])
def test_deferred_start_follows_drw(deferred: bool, start: int | None) -> None:
    cfg = load_config(None, ["TRAIN.TWO_STAGE.DRW", deferred, "TRAIN.TWO_STAGE.START_EPOCH", 7])
    assert deferred_start(cfg) == start


def test_build_loss_chooses_the_class_and_the_deferral() -> None:
    assert isinstance(build("CrossEntropy"), CrossEntropy)
    loss = build("BalancedSoftmaxCE", "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 3)
    assert isinstance(loss, BalancedSoftmax)
    on = []
    for epoch in (1, 3, 4, 5):
        loss.set_epoch(epoch)
        on.append(loss.deferral.on)
    assert on == [False, False, True, True]


def test_build_loss_takes_counts_of_any_integer_type() -> None:
    loss = build_loss(load_config(None, ["LOSS.LOSS_TYPE", "BalancedSoftmaxCE"]), torch.tensor(COUNTS).tolist())
    torch.testing.assert_close(loss(LOGITS, TARGETS), build("BalancedSoftmaxCE")(LOGITS, TARGETS))


def test_build_loss_unknown_name_lists_the_nearest() -> None:
    message = r"^unknown loss 'NILNBOD'; available: .*CrossEntropy.*; did you mean NIL_NBOD\?$"
    with pytest.raises(UserError, match=message):
        build("NILNBOD")


@pytest.mark.parametrize("name", list(LOSSES))
def test_build_loss_refuses_classes_without_images(name: str) -> None:
    with pytest.raises(UserError, match=r"^2 of 5 classes have no training images: 1, 3$"):
        build(name, counts=[5, 0, 3, 0, 1])


def test_build_loss_lists_at_most_ten_empty_classes() -> None:
    with pytest.raises(UserError, match=r"^11 of 12 classes have no training images: 1, .*, 10, \.\.\.$"):
        build("CrossEntropy", counts=[5, *[0] * 11])
