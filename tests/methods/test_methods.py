import pytest
import torch
from torch import nn

from longtail.config import load_config
from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import build_loss
from longtail.methods import Nested, Plain, build_method, joined, stacked_views
from longtail.models import Output

COUNTS = [20, 9, 4, 2]
NESTED = ["LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 2, "LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 0.5,
          "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6]  # fmt: skip


class Linear(nn.Module):
    """E linear experts on the pixels."""

    def __init__(self, experts):
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(experts, 12, 4))

    def forward(self, images):
        features = images.flatten(1).expand(len(self.weight), -1, -1)
        return Output(features @ self.weight, features)


def build(method, *overrides, experts=3):
    cfg = load_config(None, ["TRAIN.COMBINER.TYPE", method, *overrides])
    loss = build_loss(cfg, COUNTS)
    network = Linear(experts)
    return build_method(cfg, network, loss), network, loss


@pytest.fixture(params=[1, 2], ids=["one view", "two views"])
def batch(request):
    images = torch.randn(request.param, 5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.tensor([0, 3, 1, 2, 0]), torch.arange(5))


def by_hand(batch, network):
    """Logits (E, V*B, C) of the views one after the other, and their targets."""
    logits = torch.cat([network(view).logits for view in batch.images], dim=1)
    return logits, torch.cat([batch.labels] * len(batch.images))


def check(step, loss, logits, targets):
    torch.testing.assert_close(step.loss, loss)
    torch.testing.assert_close(step.logits, logits)
    assert torch.equal(step.targets, targets)
    assert step.loss.requires_grad
    assert not step.logits.requires_grad
    assert not any(part.requires_grad for part in step.parts.values())
    torch.testing.assert_close(sum(step.parts.values()), step.loss.detach())


@pytest.mark.parametrize("name", ["plain", "default"])
@pytest.mark.parametrize("experts", [1, 3])
def test_plain_training_sums_the_losses_of_the_experts(batch, name, experts):
    method, network, loss = build(name, "LOSS.LOSS_TYPE", "BalancedSoftmaxCE", experts=experts)
    assert isinstance(method, Plain)
    step = method.training_step(batch)
    logits, targets = by_hand(batch, network)
    check(step, sum(loss(one, targets) for one in logits), logits, targets)
    assert list(step.parts) == ["ce"]


@pytest.mark.parametrize("name", ["nested", "multi_network_default"])
def test_nested_training_hands_all_experts_to_one_loss(batch, name):
    method, network, loss = build(name, *NESTED)
    assert isinstance(method, Nested)
    step = method.training_step(batch)
    logits, targets = by_hand(batch, network)
    check(step, loss(logits, targets), logits, targets)
    assert list(step.parts) == ["ce", "hard_ce", "nbod", "hard_nbod"]


@pytest.mark.parametrize(("name", "overrides"), [("plain", []), ("nested", NESTED)])
def test_gradients_are_those_of_the_loss(batch, name, overrides):
    method, network, loss = build(name, *overrides)
    method.training_step(batch).loss.backward()
    logits, targets = by_hand(batch, network)
    expected = loss(logits, targets) if overrides else sum(loss(one, targets) for one in logits)
    torch.testing.assert_close(network.weight.grad, torch.autograd.grad(expected, network.weight)[0])


def test_views_are_stacked_view_by_view():
    images = torch.arange(2 * 3 * 3 * 1 * 1.0).view(2, 3, 3, 1, 1)
    rows, targets = stacked_views(Batch(images, torch.tensor([5, 6, 7]), torch.arange(3)))
    assert torch.equal(rows, torch.cat([images[0], images[1]]))
    assert targets.tolist() == [5, 6, 7, 5, 6, 7]


def test_plain_training_takes_a_batch_and_its_partner_as_one(batch):
    partner = Batch(torch.randn_like(batch.images), torch.tensor([1, 1, 2, 3, 3]), torch.tensor([9, 9, 8, 7, 6]))
    method, network, loss = build("plain", "LOSS.LOSS_TYPE", "BalancedSoftmaxCE")
    step = method.training_step(batch._replace(partner=partner))
    both = torch.cat([batch.images, partner.images], dim=1)  # view by view, the partner's samples behind in each
    logits, targets = by_hand(Batch(both, torch.cat([batch.labels, partner.labels]), torch.empty(0)), network)
    check(step, sum(loss(one, targets) for one in logits), logits, targets)


def test_a_batch_and_its_partner_are_joined_sample_by_sample(batch):
    partner = Batch(torch.randn_like(batch.images), torch.tensor([1, 1, 2, 3, 3]), torch.tensor([9, 9, 8, 7, 6]))
    both = joined(batch._replace(partner=partner))
    assert torch.equal(both.images[:, :5], batch.images)
    assert torch.equal(both.images[:, 5:], partner.images)
    assert both.labels.tolist() == [0, 3, 1, 2, 0, 1, 1, 2, 3, 3]
    assert (
        both.indices.tolist() == batch._replace(partner=partner).all_indices.tolist() == [0, 1, 2, 3, 4, 9, 9, 8, 7, 6]
    )
    assert both.partner is None
    assert joined(batch) is batch
    assert batch.all_indices is batch.indices


def test_the_network_is_called_once_for_all_views(batch):
    method, network, _ = build("plain")
    calls = []
    network.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    method.training_step(batch)
    assert calls == [5 * len(batch.images)]


@pytest.mark.parametrize(("name", "overrides"), [("plain", []), ("nested", NESTED)])
def test_the_network_is_not_part_of_the_method(name, overrides):
    method, network, _ = build(name, *overrides)
    assert method.state_dict() == {}
    assert list(method.parameters()) == []
    method.eval()
    assert network.training


def test_the_epoch_reaches_the_loss():
    method, _, loss = build("plain", "LOSS.LOSS_TYPE", "BalancedSoftmaxCE", "TRAIN.TWO_STAGE.DRW", True)
    method.set_epoch(1)
    assert not loss.deferral.on
    method.set_epoch(2)
    assert loss.deferral.on


@pytest.mark.parametrize(
    ("method", "overrides", "message"),
    [
        ("default", NESTED, r"^LOSS.LOSS_TYPE NIL_NBOD compares experts; .* must be nested .* not default$"),
        (
            "multi_network_default",
            [],
            r"^LOSS.LOSS_TYPE CrossEntropy looks at one expert; .* must be plain .* not multi",
        ),
        ("nestd", [], r"^unknown training method 'nestd'; there is: .*; did you mean nested\?$"),
    ],
)
def test_methods_that_do_not_go_with_the_loss_are_refused(method, overrides, message):
    with pytest.raises(UserError, match=message):
        build(method, *overrides)
