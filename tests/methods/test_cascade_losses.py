"""Every loss on the heads of a cascade: nested losses use all of them, others are summed over them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import LOSSES, Prediction, build_loss, total
from longtail.methods import build_method
from longtail.methods.base import loss_terms
from longtail.models import build_model
from tests.methods.test_cascade_training import Nothing

COUNTS = [4, 3, 1]
DATA: Any = Nothing()
NEEDS = {
    "LDAMLoss": ("CLASSIFIER.TYPE", "FCNorm"),
    "DifficultyMargin": ("CLASSIFIER.TYPE", "cos", "CLASSIFIER.BIAS", False),
    "NIL_NBOD_margin": ("CLASSIFIER.TYPE", "cos", "CLASSIFIER.BIAS", False),
}


def config(loss: str, *overrides: Any) -> Any:
    network = ["NETWORK.TYPE", "cascade", "BACKBONE.TYPE", "res32_cifar", "NETWORK.CASCADE.WIDTH", 16]
    keys = ["CLASSIFIER.TYPE", "cosnorm", "LOSS.LOSS_TYPE", loss, "LOSS.HCM_N", 2, "TRAIN.MAX_EPOCH", 4]
    rates = ["LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6]
    return load_config(None, [*network, *keys, *rates, *NEEDS.get(loss, ()), *overrides])


def batch(views: int = 1) -> Batch:
    images = torch.randn(views, 6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.arange(6) % 3, torch.arange(6))


def expected(loss: Any, output: Any, targets: Tensor) -> Tensor:
    if loss.nested:
        found: Tensor = loss(output.logits, targets)
        return found
    heads = zip(output.logits, output.features, strict=True)
    return total(total(loss.terms(Prediction(z, targets, x)).values()) for z, x in heads)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"DiVEKLD"}))
def test_supervised_training_of_a_cascade_with_every_loss(name: str) -> None:
    cfg = config(name)
    torch.manual_seed(0)
    network: Any = build_model(cfg, 3).eval()  # without dropout, so that two passes agree
    loss: Any = build_loss(cfg, COUNTS)
    method = build_method(cfg, network, loss, DATA)
    method.set_epoch(3)
    views = 2 if name in ("NIL_NBOD_plus",) else 1
    torch.manual_seed(1)  # SEQL draws
    step = method.training_step(batch(views))
    output = network(batch(views).images.flatten(0, 1))
    torch.manual_seed(1)
    torch.testing.assert_close(step.loss, expected(loss, output, torch.arange(6).repeat(views) % 3))
    step.loss.backward()
    for head in network.heads:
        for parameter in filter(lambda parameter: parameter.requires_grad, head.parameters()):
            assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any()


@pytest.mark.parametrize("name", ["BalancedSoftmaxCE", "LDAMLoss", "CascadeSoftmax", "CascadeSigmoid"])
def test_mixup_of_a_cascade_mixes_the_losses(name: str) -> None:
    cfg = config(name, "TRAIN.COMBINER.TYPE", "mixup")
    torch.manual_seed(0)
    network: Any = build_model(cfg, 3).eval()
    loss: Any = build_loss(cfg, COUNTS)
    method = build_method(cfg, network, loss, DATA)
    method.set_epoch(2)
    step = method.training_step(batch())
    assert step.mixed is not None
    lam, second = step.mixed.lam, step.mixed.targets
    output = network(torch.zeros(6, 3, 32, 32))._replace(logits=step.logits)
    mixed = lam * expected(loss, output, step.targets) + (1 - lam) * expected(loss, output, second)
    torch.testing.assert_close(step.loss.detach(), mixed.detach())


def test_influence_balanced_mixup_of_a_cascade_is_refused() -> None:
    cfg = config("InfluenceBalancedLoss", "TRAIN.COMBINER.TYPE", "mixup")
    with pytest.raises(UserError, match="needs the features of single images"):
        build_method(cfg, build_model(cfg, 3), build_loss(cfg, COUNTS), DATA)


def test_distillation_of_a_cascade_takes_a_teacher_per_head() -> None:
    cfg = config("DiVEKLD")
    output = build_model(cfg, 3).eval()(batch().images[0])
    teachers = torch.randn(3, 6, 3, generator=torch.Generator().manual_seed(2))
    loss = build_loss(cfg, COUNTS)
    found = loss_terms(loss, output, targets=torch.arange(6) % 3, teacher_logits=teachers)
    pairs = zip(output.logits, teachers, strict=True)
    one_by_one = sum(loss(z, torch.arange(6) % 3, None, teacher) for z, teacher in pairs)
    torch.testing.assert_close(total(found.values()), one_by_one)
