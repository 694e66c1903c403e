import math

import pytest
import torch

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses import BalancedSoftmax, CrossEntropy, build_loss

COUNTS = [50, 30, 12, 7, 3]
LOSSES = {"CrossEntropy": [0.0] * 5, "BalancedSoftmaxCE": [math.log(count) for count in COUNTS]}  # what is added


def build(name, counts=COUNTS, *overrides):
    return build_loss(load_config(None, ["LOSS.LOSS_TYPE", name, *overrides]), counts)


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(6, 5, generator=random, dtype=torch.float64)
    return logits, torch.randint(5, (6,), generator=random)


@pytest.mark.parametrize("name", LOSSES)
def test_equals_the_naive_loss(name, batch):
    logits, targets = batch
    total = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        shifted = [z + prior for z, prior in zip(row, LOSSES[name], strict=True)]
        total += math.log(sum(math.exp(z) for z in shifted)) - shifted[target]
    assert build(name)(logits, targets).item() == pytest.approx(total / 6, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_constant_on_the_logits_and_the_order_of_samples_change_nothing(name, batch):
    logits, targets = batch
    expected = build(name)(logits, targets)
    order = torch.tensor([5, 1, 4, 2, 0, 3])
    torch.testing.assert_close(build(name)(logits + torch.arange(6.0)[:, None], targets), expected)
    torch.testing.assert_close(build(name)(logits[order], targets[order]), expected)


def test_the_prior_may_be_counts_or_shares(batch):
    torch.testing.assert_close(
        build("BalancedSoftmaxCE", [10 * count for count in COUNTS])(*batch), build("BalancedSoftmaxCE")(*batch)
    )


def test_equal_classes_make_balanced_softmax_plain(batch):
    torch.testing.assert_close(build("BalancedSoftmaxCE", [9] * 5)(*batch), build("CrossEntropy")(*batch))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_extreme_logits_give_finite_values_and_gradients(name, kind, autocast):
    signs = torch.randint(-1, 2, (16, 5), generator=torch.Generator().manual_seed(0))
    logits = (signs * 1e4).to(kind).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = build(name)(logits, torch.arange(16) % 5)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite() and loss > 0
    assert logits.grad.isfinite().all()


def test_the_tree_chooses_loss_and_deferral():
    assert isinstance(build("CrossEntropy"), CrossEntropy)
    deferred = ["TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 3]
    loss = build("BalancedSoftmaxCE", COUNTS, *deferred)
    assert isinstance(loss, BalancedSoftmax)
    on = []
    for epoch in (1, 3, 4, 5):
        loss.set_epoch(epoch)
        on.append(loss.deferral.on)
    assert on == [False, False, True, True]


def test_losses_have_nothing_to_save():
    for name in (*LOSSES, "NIL_NBOD"):
        assert build(name).state_dict() == {}


def test_an_unknown_loss_is_told_with_the_nearest():
    with pytest.raises(
        UserError, match=r"^unknown loss 'NILNBOD'; there is: .*CrossEntropy.*; did you mean NIL_NBOD\?$"
    ):
        build("NILNBOD")


@pytest.mark.parametrize("name", [*LOSSES, "NIL_NBOD"])
def test_a_class_without_images_is_refused(name):
    with pytest.raises(UserError, match=r"^2 of 5 classes have no training images: 1, 3$"):
        build(name, [5, 0, 3, 0, 1])


def test_too_many_hard_classes_are_refused_by_the_builder():
    with pytest.raises(UserError, match=r"^LOSS.HCM_N is 6; it must be at most the number of classes, 5$"):
        build("NIL_NBOD", COUNTS, "LOSS.HCM_N", 6)
