"""Supervised training, with losses of one head and with nested losses."""

from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss, build_loss
from longtail.methods import Supervised, build_method
from longtail.methods.supervised import joined
from tests.helpers.methods import KnownData, LinearExperts, check_gradients, check_step

COUNTS = [20, 9, 4, 2]
BALANCED = ["LOSS.LOSS_TYPE", "BalancedSoftmaxCE"]
NESTED = [
    *("LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 2, "LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 0.5),
    *("LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6),
]
PARTS = {"balanced": ["ce"], "nested": ["ce", "hard_ce", "nbod", "hard_nbod"]}
losses = pytest.mark.parametrize("overrides", [BALANCED, NESTED], ids=["balanced", "nested"])


def build(method: str, *overrides: Any, experts: int = 3) -> tuple[Supervised, LinearExperts, Loss]:
    cfg = load_config(None, ["TRAIN.COMBINER.TYPE", method, *overrides])
    loss, network = build_loss(cfg, COUNTS), LinearExperts(experts)
    built = build_method(cfg, network, loss, KnownData(COUNTS))
    assert isinstance(built, Supervised)
    return built, network, loss


@pytest.fixture(params=[1, 2], ids=["one view", "two views"])
def batch(request: pytest.FixtureRequest) -> Batch:
    images = torch.randn(request.param, 5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.tensor([0, 3, 1, 2, 0]), torch.arange(5))


def by_hand(network: LinearExperts, loss: Loss, *, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return loss, logits (E, V*B, C) of the views one after the other, and their targets."""
    logits = torch.cat([network(view).logits for view in images], dim=1)
    targets = labels.repeat(len(images))
    value = loss(logits, targets) if loss.nested else torch.stack([loss(rows, targets) for rows in logits]).sum()
    return value, logits, targets


@pytest.mark.parametrize("name", ["supervised", "plain", "default", "nested", "multi_network_default"])
@pytest.mark.parametrize("experts", [1, 3])
@losses
def test_supervised_step(batch: Batch, name: str, experts: int, overrides: list[Any]) -> None:
    method, network, loss = build(name, *overrides, experts=experts)
    step = method.training_step(batch)
    expected, logits, targets = by_hand(network, loss, images=batch.images, labels=batch.labels)
    check_step(step, expected, logits=logits, targets=targets)
    check_gradients(step.loss, expected, network)
    names = PARTS["nested" if loss.nested else "balanced"]
    assert list(step.parts) == (names if experts > 1 else names[:2])
    assert step.mixed is None


def partner_of(batch: Batch) -> Batch:
    return Batch(torch.randn_like(batch.images), torch.tensor([1, 1, 2, 3, 3]), torch.tensor([9, 9, 8, 7, 6]))


@losses
def test_supervised_trains_a_batch_and_its_partner_as_one(batch: Batch, overrides: list[Any]) -> None:
    partner = partner_of(batch)
    method, network, loss = build("supervised", *overrides)
    step = method.training_step(batch._replace(partner=partner))
    images = torch.cat([batch.images, partner.images], dim=1)  # the samples of the partner are last in each view
    labels = torch.cat([batch.labels, partner.labels])
    expected, logits, targets = by_hand(network, loss, images=images, labels=labels)
    check_step(step, expected, logits=logits, targets=targets)


def test_joined_appends_the_partner_sample_by_sample(batch: Batch) -> None:
    partner = partner_of(batch)
    paired = batch._replace(partner=partner)
    both = joined(paired)
    assert torch.equal(both.images[:, :5], batch.images)
    assert torch.equal(both.images[:, 5:], partner.images)
    assert both.labels.tolist() == [0, 3, 1, 2, 0, 1, 1, 2, 3, 3]
    assert both.indices.tolist() == paired.all_indices.tolist() == [0, 1, 2, 3, 4, 9, 9, 8, 7, 6]
    assert both.partner is None


def test_joined_without_a_partner_returns_the_batch(batch: Batch) -> None:
    assert joined(batch) is batch
    assert batch.all_indices is batch.indices


def test_supervised_calls_the_network_once_for_all_views(batch: Batch) -> None:
    method, network, _ = build("supervised")
    calls: list[int] = []
    network.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    method.training_step(batch)
    assert calls == [5 * len(batch.images)]


@losses
def test_supervised_has_no_state(overrides: list[Any]) -> None:
    method, network, _ = build("supervised", *overrides)
    assert method.state_dict() == {}
    assert list(method.parameters()) == []
    assert method.supports_cuda_graph
    method.eval()
    assert network.training


def test_supervised_passes_the_epoch_to_the_loss() -> None:
    method, _, loss = build("supervised", *BALANCED, "TRAIN.TWO_STAGE.DRW", True)
    method.set_epoch(1)
    assert not loss.deferral.on
    method.set_epoch(2)
    assert loss.deferral.on


def test_supervised_passes_features_to_the_loss(batch: Batch) -> None:
    method, network, loss = build("supervised", "LOSS.LOSS_TYPE", "InfluenceBalancedLoss")
    output = network(batch.images.flatten(0, 1))
    targets = batch.labels.repeat(len(batch.images))
    heads = zip(output.logits, output.features, strict=True)
    expected = torch.stack([loss(logits, targets, features) for logits, features in heads]).sum()
    torch.testing.assert_close(method.training_step(batch).loss, expected)


@pytest.mark.parametrize("name", ["default", "nested"])
def test_supervised_refuses_losses_with_a_teacher(name: str) -> None:
    message = r"^LOSS.LOSS_TYPE DiVEKLD needs a teacher; TRAIN.COMBINER.TYPE must be distillation, not supervised$"
    with pytest.raises(UserError, match=message):
        build(name, "LOSS.LOSS_TYPE", "DiVEKLD")
