"""Invariances, special cases and numerical limits of the contrastive losses of SBCL."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from longtail.losses.contrastive import (
    k_positive_contrastive,
    subclass_contrastive,
    subclass_contrastive_queue,
    supervised_contrastive,
)
from longtail.losses.info_nce import info_nce
from tests.helpers.contrastive_loops import random_batch, random_queue, supervised_loop
from tests.helpers.losses import grad

InBatchLoss = Callable[..., Tensor]  # features, labels, subclasses, temperature
QueueLoss = Callable[..., Tensor]  # the fields of AgainstQueue, temperature
CLASS_TEMPERATURES = torch.tensor([0.2, 0.35, 0.5])
DRAWS = torch.rand(3, 5, generator=torch.Generator().manual_seed(9))


def supervised(x: Tensor, y: Tensor, g: Tensor, t: float = 0.3) -> Tensor:
    return supervised_contrastive(x, y, temperature=t)


def instance(x: Tensor, y: Tensor, g: Tensor, t: float = 0.3) -> Tensor:
    return supervised_contrastive(x, None, temperature=t)


def subclass(x: Tensor, y: Tensor, g: Tensor, t: float = 0.3) -> Tensor:
    scales = CLASS_TEMPERATURES * t
    return subclass_contrastive(x, y, g, temperature=t, base_temperature=0.07, beta=0.25, class_temperatures=scales)


def subclass_one_denominator(x: Tensor, y: Tensor, g: Tensor, t: float = 0.3) -> Tensor:
    return subclass_contrastive(x, y, g, temperature=t, base_temperature=0.07, beta=0.25)


def k_positive(q: Tensor, k: Tensor, m: Tensor, y: Tensor, g: Tensor, my: Tensor, mg: Tensor, t: float = 0.3) -> Tensor:
    return k_positive_contrastive(q, k, m, y, my, k=3, temperature=t, draws=DRAWS)


def subclass_queue(
    q: Tensor, k: Tensor, m: Tensor, y: Tensor, g: Tensor, my: Tensor, mg: Tensor, t: float = 0.3
) -> Tensor:
    return subclass_contrastive_queue(q, k, m, y, g, my, mg, temperature=t, beta=0.2, class_temperature=1.7 * t)


def subclass_queue_one_denominator(
    q: Tensor, k: Tensor, m: Tensor, y: Tensor, g: Tensor, my: Tensor, mg: Tensor, t: float = 0.3
) -> Tensor:
    return subclass_contrastive_queue(q, k, m, y, g, my, mg, temperature=t, beta=0.2)


IN_BATCH: list[InBatchLoss] = [supervised, instance, subclass, subclass_one_denominator]
AGAINST_QUEUE: list[QueueLoss] = [k_positive, subclass_queue, subclass_queue_one_denominator]
in_batch = pytest.mark.parametrize("loss", IN_BATCH)
against_queue = pytest.mark.parametrize("loss", AGAINST_QUEUE)


# Invariances


@in_batch
def test_in_batch_losses_do_not_depend_on_the_order_of_images_and_views(loss: InBatchLoss) -> None:
    features, labels, subclasses = random_batch(images=9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(5))
    value = loss(features, labels, subclasses)
    torch.testing.assert_close(loss(features[order], labels[order], subclasses[order]), value)
    torch.testing.assert_close(loss(features.flip(1), labels, subclasses), value)


@against_queue
def test_queue_losses_do_not_depend_on_a_common_rotation(loss: QueueLoss) -> None:
    inputs = random_queue()
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3))).Q
    rotated = [rows @ rotation for rows in inputs[:3]]
    torch.testing.assert_close(loss(*rotated, *inputs[3:]), loss(*inputs))


@pytest.mark.parametrize("loss", [subclass, subclass_one_denominator])
def test_in_batch_losses_do_not_depend_on_subclass_numbers(loss: InBatchLoss) -> None:
    features, labels, subclasses = random_batch(images=9)
    numbers = torch.randperm(100, generator=torch.Generator().manual_seed(5))
    value = loss(features, labels, subclasses)
    assert torch.equal(loss(features, labels, numbers[subclasses]), value)


@pytest.mark.parametrize("loss", [subclass_queue, subclass_queue_one_denominator])
def test_queue_losses_do_not_depend_on_subclass_numbers(loss: QueueLoss) -> None:
    inputs = random_queue()
    numbers = torch.randperm(100, generator=torch.Generator().manual_seed(5))
    renamed = inputs._replace(subclasses=numbers[inputs.subclasses], queue_subclasses=numbers[inputs.queue_subclasses])
    assert torch.equal(loss(*renamed), loss(*inputs))


def test_subclass_contrastive_queue_does_not_depend_on_the_order_of_the_queue() -> None:
    inputs = random_queue()
    flipped = {name: getattr(inputs, name).flip(0) for name in ("queue", "queue_labels", "queue_subclasses")}
    torch.testing.assert_close(subclass_queue(*inputs._replace(**flipped)), subclass_queue(*inputs))


# Special cases that are other losses


def test_subclass_contrastive_with_one_subclass_per_class() -> None:
    features, labels, _ = random_batch(images=9)
    fine = subclass_contrastive(
        features, labels, labels, temperature=0.3, base_temperature=0.2, beta=0.0, class_temperatures=CLASS_TEMPERATURES
    )
    expected = supervised_contrastive(features, labels, temperature=0.3, base_temperature=0.2)
    torch.testing.assert_close(fine, expected)
    both = subclass_contrastive(features, labels, labels, temperature=0.3, base_temperature=None, beta=0.5)
    torch.testing.assert_close(both, 1.5 * supervised_contrastive(features, labels, temperature=0.3))


def test_subclass_contrastive_with_one_image_per_subclass() -> None:
    """It is instance discrimination plus beta times the supervised contrastive loss."""
    features, labels, _ = random_batch(images=9)
    scales = torch.full((3,), 0.3)
    value = subclass_contrastive(
        features,
        labels,
        torch.arange(9),
        temperature=0.3,
        base_temperature=None,
        beta=0.5,
        class_temperatures=scales,
    )
    instances, classes = (supervised_contrastive(features, ids, temperature=0.3) for ids in (None, labels))
    torch.testing.assert_close(value, instances + 0.5 * classes)


def one_expert_info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    return info_nce(query[None], key[None], queue=queue[None], temperature=temperature)


@pytest.mark.parametrize("k", [0, 4])
def test_k_positive_contrastive_with_an_empty_queue_is_info_nce(k: int) -> None:
    query, key, queue, labels, *_ = random_queue()
    empty = torch.full((12,), -1)
    value = k_positive_contrastive(query, key, queue, labels, empty, k=k, temperature=0.3)
    torch.testing.assert_close(value, one_expert_info_nce(query, key, queue, 0.3))


def test_subclass_contrastive_queue_with_an_empty_queue_is_info_nce_at_two_temperatures() -> None:
    query, key, queue, labels, own, *_ = random_queue()
    empty = torch.full((12,), -1)
    value = subclass_contrastive_queue(
        query, key, queue, labels, own, empty, empty, temperature=0.3, beta=0.5, class_temperature=0.4
    )
    first, second = (one_expert_info_nce(query, key, queue, temperature) for temperature in (0.3, 0.4))
    torch.testing.assert_close(value, first + 0.5 * second)


def test_subclass_contrastive_queue_unknown_subclasses_do_not_match() -> None:
    inputs = random_queue()
    inputs.queue_subclasses[:6] = -1
    unknown, absent = torch.full_like(inputs.subclasses, -1), torch.full_like(inputs.subclasses, 99)
    value, expected = (subclass_queue(*inputs._replace(subclasses=ids)) for ids in (unknown, absent))
    assert torch.equal(value, expected)


def test_k_positive_contrastive_draws_from_the_default_generator() -> None:
    query, key, queue, labels, _, queue_labels, _ = random_queue()
    torch.manual_seed(4)
    draws = torch.rand(2, 5)
    torch.manual_seed(4)
    drawn, given = (
        k_positive_contrastive(query, key, queue, labels, queue_labels, k=2, temperature=0.3, draws=numbers)
        for numbers in (None, draws)
    )
    assert torch.equal(drawn, given)


# Anchors without positives


@pytest.mark.parametrize("loss", [supervised, instance])
def test_anchors_without_positives_give_zero(loss: InBatchLoss) -> None:
    features, _, _ = random_batch(images=4, views=1)
    features.requires_grad_()
    value = loss(features, torch.arange(4), torch.arange(4))
    value.backward()
    assert value.item() == 0
    assert not grad(features).any()


def test_supervised_contrastive_counts_anchors_without_positives_in_the_mean() -> None:
    features, _, _ = random_batch(images=3, views=1)
    features.requires_grad_()
    labels = torch.tensor([0, 0, 1])
    value = supervised_contrastive(features, labels, temperature=0.3)
    assert value.item() == pytest.approx(supervised_loop(features, labels, temperature=0.3, base=0.3))
    value.backward()
    assert grad(features).isfinite().all()
    assert grad(features)[2].any()  # it is among the candidates of the others


@in_batch
@pytest.mark.parametrize("views", [1, 2])
def test_in_batch_losses_of_one_image_are_zero(loss: InBatchLoss, views: int) -> None:
    features, labels, subclasses = random_batch(images=1, views=views)
    features.requires_grad_()
    value = loss(features, labels, subclasses)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert grad(features).abs().max() < 1e-5


# Numerical limits


@in_batch
def test_in_batch_losses_are_computed_in_float32_under_autocast(loss: InBatchLoss) -> None:
    features, labels, subclasses = random_batch(images=8, width=64)
    features = features.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(features, labels, subclasses, 0.07)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(features.detach().float(), labels, subclasses, 0.07))
    assert grad(features).isfinite().all() and grad(features).any()


@against_queue
def test_queue_losses_are_computed_in_float32_under_autocast(loss: QueueLoss) -> None:
    inputs = random_queue(width=64)
    query, key, queue = (row.bfloat16() for row in inputs[:3])
    query.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(query, key, queue, *inputs[3:], 0.07)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(query.detach().float(), key.float(), queue.float(), *inputs[3:], 0.07))
    assert grad(query).isfinite().all() and grad(query).any()


def equal_and_opposite(rows: Tensor) -> Tensor:
    """Return unit rows on one axis, every second one in the other direction: cosines of 1 and -1 only."""
    rows = torch.zeros_like(rows)
    rows.view(-1, rows.shape[-1])[:, 0] = torch.where(torch.arange(rows[..., 0].numel()) % 2 == 0, 1.0, -1.0)
    return rows


temperatures = pytest.mark.parametrize("temperature", [0.005, 0.01, 0.1])
changes = pytest.mark.parametrize("change", [torch.clone, equal_and_opposite], ids=["random", "extreme"])


@temperatures
@changes
@in_batch
def test_in_batch_losses_are_finite_at_small_temperatures(
    loss: InBatchLoss, change: Callable[[Tensor], Tensor], temperature: float
) -> None:
    features, labels, subclasses = random_batch(images=8)
    features = change(features).requires_grad_()
    value = loss(features, labels, subclasses, temperature)
    value.backward()
    assert value.isfinite() and grad(features).isfinite().all()


@temperatures
@changes
@against_queue
def test_queue_losses_are_finite_at_small_temperatures(
    loss: QueueLoss, change: Callable[[Tensor], Tensor], temperature: float
) -> None:
    query, key, queue, *ids = random_queue()
    query, key, queue = change(query).requires_grad_(), change(key), change(queue)
    value = loss(query, key, queue, *ids, temperature)
    value.backward()
    assert value.isfinite() and grad(query).isfinite().all()


@in_batch
def test_in_batch_losses_gradients_match_finite_differences(loss: InBatchLoss) -> None:
    features, labels, subclasses = random_batch(images=4, width=3)
    features = features.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, subclasses), features)


@against_queue
def test_queue_losses_gradients_match_finite_differences(loss: QueueLoss) -> None:
    query, key, queue, *ids = random_queue()
    query = query.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, key.double(), queue.double(), *ids), query)
