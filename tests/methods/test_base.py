"""The base class of the methods: steps, stacked views, loss terms, wrapping, a method with its own head."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.data import Batch
from longtail.engine.optim import build_optimizer
from longtail.losses import CrossEntropy, HardClassSettings, Loss, NestedLoss, Prediction
from longtail.methods import Method, Mixed, Step, loss_terms, stacked_views
from longtail.models import Output, unwrap
from tests.helpers.methods import KnownData, LinearExperts

COUNTS = [20, 9, 4, 2]


def one_batch(views: int = 1) -> Batch:
    images = torch.randn(views, 5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.tensor([0, 3, 1, 2, 0]), torch.arange(5))


def test_step_of_sums_the_terms_and_detaches_the_rest() -> None:
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    logits = (weight * torch.ones(3, 1)).expand(2, 3, 2)
    mixed = Mixed(torch.tensor([1, 1, 0]), torch.tensor(0.3))
    targets = torch.tensor([0, 1, 1])
    step = Step.of({"a": weight[0], "b": 3 * weight[1]}, Output(logits, logits), targets=targets, mixed=mixed)
    assert step.loss.item() == 7
    assert torch.autograd.grad(step.loss, weight)[0].tolist() == [1.0, 3.0]
    assert {name: part.item() for name, part in step.parts.items()} == {"a": 1.0, "b": 6.0}
    assert not step.logits.requires_grad and not any(part.requires_grad for part in step.parts.values())
    assert torch.equal(step.logits, logits)
    assert step.targets is targets and step.mixed is mixed


def test_stacked_views_are_rows_view_by_view() -> None:
    images = torch.arange(2 * 3 * 3 * 1 * 1.0).view(2, 3, 3, 1, 1)
    rows, targets = stacked_views(Batch(images, torch.tensor([5, 6, 7]), torch.arange(3)))
    assert torch.equal(rows, torch.cat([images[0], images[1]]))
    assert targets.tolist() == [5, 6, 7, 5, 6, 7]


class Seen(Loss):
    """Remembers its predictions."""

    def __init__(self, nested: bool) -> None:
        super().__init__()
        self.nested = nested
        self.seen: list[Prediction] = []

    def terms(self, prediction: Prediction) -> dict[str, Tensor]:
        self.seen.append(prediction)
        return {"ce": prediction.logits.sum()}


def random_output(widths: tuple[int, ...] = (6, 6)) -> Output:
    logits = torch.randn(len(widths), 5, 4)
    features = tuple(torch.randn(5, width) for width in widths)
    return Output(logits, features if len(set(widths)) > 1 else torch.stack(features))


@pytest.mark.parametrize("widths", [(6, 6), (6, 3)])
def test_loss_terms_of_one_head_are_summed_over_the_heads(widths: tuple[int, ...]) -> None:
    loss, output, targets, teachers = (
        Seen(nested=False),
        random_output(widths),
        torch.arange(5) % 4,
        torch.rand(2, 5, 4),
    )
    terms = loss_terms(loss, output, targets=targets, teacher_logits=teachers)
    torch.testing.assert_close(terms, {"ce": output.logits.sum()})
    for head, prediction in enumerate(loss.seen):
        assert torch.equal(prediction.logits, output.logits[head])
        assert prediction.features is not None and torch.equal(prediction.features, output.features[head])
        assert prediction.teacher_logits is not None and torch.equal(prediction.teacher_logits, teachers[head])
        assert prediction.targets is targets
    assert len(loss.seen) == 2


def test_loss_terms_without_a_teacher_pass_none() -> None:
    loss = Seen(nested=False)
    loss_terms(loss, random_output(), targets=torch.arange(5) % 4)
    assert [prediction.teacher_logits for prediction in loss.seen] == [None, None]


def test_loss_terms_of_a_nested_loss_are_those_of_all_heads_at_once() -> None:
    loss, output, targets, teachers = Seen(nested=True), random_output(), torch.arange(5) % 4, torch.rand(2, 5, 4)
    loss_terms(loss, output, targets=targets, teacher_logits=teachers)
    (prediction,) = loss.seen
    assert prediction == Prediction(output.logits, targets, None, teachers)


# Method


class Plain(Method):
    """The sum of the logits."""

    def training_step(self, batch: Batch) -> Step:
        images, targets = stacked_views(batch)
        output = self.network(images)
        return Step.of({"sum": output.logits.sum()}, output, targets=targets)


def test_method_network_is_not_part_of_its_state() -> None:
    network = LinearExperts(2)
    method = Plain(network, CrossEntropy())
    assert method.state_dict() == {} and list(method.parameters()) == []
    method.eval()
    assert network.training
    assert method.trainable() == {"network": network} and method.evaluated() is network


def test_method_set_epoch_reaches_the_loss() -> None:
    loss = NestedLoss(COUNTS, HardClassSettings(2, ramp=4))
    Plain(LinearExperts(1), loss).set_epoch(3)
    assert loss.ramp_factor == 0.5


def test_method_hooks_do_nothing_by_default() -> None:
    method = Plain(LinearExperts(1), CrossEntropy())
    method.on_epoch_start(1, KnownData(COUNTS))
    method.on_step_end()
    with pytest.raises(NotImplementedError):
        Method(LinearExperts(1), CrossEntropy()).training_step(one_batch())


class Wrapped(nn.DataParallel[nn.Module]):
    """Counts its calls."""

    calls = 0

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return super().forward(*inputs, **kwargs)


def test_method_wrap_wraps_the_network_and_unwraps_it_for_evaluation() -> None:
    network = LinearExperts(2)
    method = Plain(network, CrossEntropy())
    method.wrap(Wrapped)
    assert isinstance(method.network, Wrapped)
    method.training_step(one_batch())
    assert method.network.calls == 1
    assert method.trainable() == {"network": network} and method.evaluated() is network
    method.wrap(Wrapped)  # wraps what is inside, not the wrapper
    assert isinstance(method.network, Wrapped) and method.network.module is network


# A method with its own head, as a user writes it.


class AuxiliaryHead(Method):
    """Cross-entropy of the network plus that of a learnable head on the features of the first expert."""

    head: nn.Module

    def __init__(self, network: nn.Module, loss: Loss, *, width: int, classes: int) -> None:
        super().__init__(network, loss)
        self.head = nn.Linear(width, classes)

    def trainable(self) -> dict[str, nn.Module]:
        return {**super().trainable(), "head": unwrap(self.head)}

    def training_step(self, batch: Batch) -> Step:
        images, targets = stacked_views(batch)
        output = self.network(images)
        terms = loss_terms(self.loss, output, targets=targets)
        terms["auxiliary"] = self.loss(self.head(output.features[0]), targets)
        return Step.of(terms, output, targets=targets)


def auxiliary(seed: int = 0) -> AuxiliaryHead:
    network = LinearExperts(2)
    torch.manual_seed(seed)
    return AuxiliaryHead(network, CrossEntropy(), width=12, classes=4)


def test_method_with_a_head_optimizes_it() -> None:
    method = auxiliary()
    cfg = load_config(None, ["TRAIN.OPTIMIZER.BASE_LR", 0.1])
    optimizer = build_optimizer(cfg, method.trainable(), fused=False)
    before = copy.deepcopy(method.head.state_dict())
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        step = method.training_step(one_batch())
        step.loss.backward()
        optimizer.step()
        losses.append(float(step.parts["auxiliary"]))
    assert losses[-1] < 0.5 * losses[0]
    assert not torch.equal(method.head.state_dict()["weight"], before["weight"])


def test_method_with_a_head_saves_it() -> None:
    method, other = auxiliary(), auxiliary(seed=1)
    state = method.state_dict()
    assert list(state) == ["head.weight", "head.bias"]
    other.load_state_dict(state)
    assert torch.equal(other.training_step(one_batch()).loss, method.training_step(one_batch()).loss)


def test_method_wrap_keeps_the_names_of_the_state() -> None:
    method = auxiliary()
    head, names, expected = method.head, list(method.state_dict()), method.training_step(one_batch()).loss
    method.wrap(Wrapped)
    assert isinstance(method.head, Wrapped) and method.head.module is head
    assert list(method.state_dict()) == names
    assert torch.equal(method.training_step(one_batch()).loss, expected)
    assert method.head.calls == 1
    assert method.trainable()["head"] is head
    method.load_state_dict({name: torch.zeros_like(value) for name, value in method.state_dict().items()})
    assert not head.state_dict()["weight"].any()
