"""Common parts of all mixup methods: draws, losses between two targets, losses that are refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses import CrossEntropy, Loss, NestedLoss, NestedPlusLoss
from longtail.methods.mixing import Mixing, draw_partners
from longtail.models import Output
from tests.helpers.losses import nested_loss
from tests.helpers.methods import LinearExperts
from tests.helpers.mixing import COUNTS, build

LAM = 0.3


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_draw_lam_follows_the_beta_distribution(alpha: float) -> None:
    method, _, _ = build("mixup", "TRAIN.COMBINER.ALPHA", alpha)
    torch.manual_seed(0)
    drawn = torch.stack([method.draw_lam(torch.zeros(3)) for _ in range(4000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(drawn.mean() - 0.5) < 4 * (variance / 4000) ** 0.5
    assert float(drawn.var()) == pytest.approx(variance, rel=0.08)
    assert drawn.dtype == torch.float32


def test_draw_lam_of_the_smallest_alpha_is_near_0_or_1() -> None:
    """Of a smaller one, both gamma variates of a draw may underflow to 0, which gives a lam of 0.5."""
    with pytest.raises(UserError, match=r"TRAIN.COMBINER.ALPHA is 0\.009"):
        load_config(None, ["TRAIN.COMBINER.ALPHA", 0.009])
    method = Mixing(LinearExperts(1), CrossEntropy(), alpha=0.01)
    torch.manual_seed(0)
    drawn = torch.stack([method.draw_lam(torch.zeros(3)) for _ in range(200)])
    assert drawn.isfinite().all() and (drawn == 0.5).sum() == 0
    assert ((drawn < 0.01) | (drawn > 0.99)).float().mean() > 0.9


def test_draw_partners_is_a_uniform_permutation() -> None:
    torch.manual_seed(0)
    table = torch.zeros(4, 4)
    for _ in range(2000):
        table[torch.arange(4), draw_partners(torch.arange(4))] += 1
    assert float(((table - 500) ** 2 / 500).sum()) < 27.9  # chi-square, 9 degrees of freedom, 1 in 1000


def ncl() -> Loss:
    return nested_loss(NestedLoss, COUNTS, 2)


def ncl_plus() -> Loss:
    return nested_loss(NestedPlusLoss, COUNTS, 2, views=2)


@pytest.mark.parametrize("loss", [ncl(), ncl_plus(), CrossEntropy()], ids=["ncl", "ncl_plus", "ce"])
def test_mixing_step_is_lam_times_the_first_loss_plus_the_second(loss: Loss) -> None:
    method = Mixing(LinearExperts(2), loss, alpha=1.0)
    logits = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    first, second, lam = torch.tensor([0, 1, 2] * 2), torch.tensor([3, 0, 1] * 2), torch.tensor(LAM)
    step = method.step(Output(logits, logits), first, second=second, lam=lam)

    def whole(targets: Tensor) -> Tensor:
        return loss(logits, targets) if loss.nested else loss(logits[0], targets) + loss(logits[1], targets)

    expected = LAM * whole(first) + (1 - LAM) * whole(second)
    torch.testing.assert_close(step.loss, expected)
    gradient, wanted = (torch.autograd.grad(value, logits)[0] for value in (step.loss, expected))
    torch.testing.assert_close(gradient, wanted)
    assert step.targets is first
    assert step.mixed is not None and step.mixed.targets is second and step.mixed.lam is lam


REFUSED = [
    ("DiVEKLD", "needs a teacher; TRAIN.COMBINER.TYPE must be distillation, not {}"),
    (
        "InfluenceBalancedLoss",
        "needs the features of single images; TRAIN.COMBINER.TYPE must be supervised, not {}",
    ),
]


@pytest.mark.parametrize("name", ["mixup", "cutmix", "manifold_mixup", "remix", "bbn_mixup"])
@pytest.mark.parametrize(("loss", "message"), REFUSED)
def test_mixup_methods_refuse_losses_that_need_more_than_logits(name: str, loss: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        build(name, "LOSS.LOSS_TYPE", loss)
    assert str(error.value) == f"LOSS.LOSS_TYPE {loss} {message.format(name)}"


@pytest.mark.parametrize("name", ["mixup", "cutmix", "manifold_mixup", "remix", "bbn_mixup"])
@pytest.mark.parametrize("loss", ["NIL_NBOD", "NIL_NBOD_plus"])
def test_mixup_methods_take_nested_losses(name: str, loss: str) -> None:
    overrides: list[Any] = ["LOSS.LOSS_TYPE", loss, "LOSS.HCM_N", 2]
    assert build(name, *overrides)[0].loss.nested
