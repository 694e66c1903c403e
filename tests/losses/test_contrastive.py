"""The contrastive losses against loops, what may change without changing them, and their numerical limits."""

import contrastive_oracles as oracles
import pytest
import torch
from contrastive_oracles import random_batch, random_queue

from longtail.losses.contrastive import (
    k_positive_contrastive,
    subclass_contrastive,
    subclass_contrastive_queue,
    supervised_contrastive,
)
from longtail.losses.info_nce import info_nce

CLASS_TEMPERATURES = torch.tensor([0.2, 0.35, 0.5])
IN_BATCH = {
    "supervised": lambda x, y, g, t=0.3: supervised_contrastive(x, y, temperature=t),
    "instance": lambda x, y, g, t=0.3: supervised_contrastive(x, None, temperature=t),
    "subclass": lambda x, y, g, t=0.3: subclass_contrastive(
        x, y, g, temperature=t, base_temperature=0.07, beta=0.25, class_temperatures=CLASS_TEMPERATURES * t
    ),
    "subclass, one denominator": lambda x, y, g, t=0.3: subclass_contrastive(
        x, y, g, temperature=t, base_temperature=0.07, beta=0.25
    ),
}
DRAWS = torch.rand(3, 5, generator=torch.Generator().manual_seed(9))
AGAINST_QUEUE = {
    "k positive": lambda q, k, m, y, g, my, mg, t=0.3: k_positive_contrastive(
        q, k, m, y, my, k=3, temperature=t, draws=DRAWS
    ),
    "subclass": lambda q, k, m, y, g, my, mg, t=0.3: subclass_contrastive_queue(
        q, k, m, y, g, my, mg, temperature=t, beta=0.2, class_temperature=1.7 * t
    ),
    "subclass, one denominator": lambda q, k, m, y, g, my, mg, t=0.3: subclass_contrastive_queue(
        q, k, m, y, g, my, mg, temperature=t, beta=0.2
    ),
}
in_batch = pytest.mark.parametrize("loss", IN_BATCH.values(), ids=IN_BATCH)
against_queue = pytest.mark.parametrize("loss", AGAINST_QUEUE.values(), ids=AGAINST_QUEUE)


# Against loops


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("with_labels", [True, False])
def test_supervised_contrastive_agrees_with_loops(views, with_labels):
    features, labels, _ = random_batch(views=views)
    labels = labels if with_labels else None
    value = supervised_contrastive(features, labels, temperature=0.3, base_temperature=0.2)
    assert float(value) == pytest.approx(oracles.supervised(features, labels, 0.3, 0.2), rel=1e-5)


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("class_temperatures", [None, CLASS_TEMPERATURES])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_subclass_contrastive_agrees_with_loops(views, class_temperatures, seed):
    batch = random_batch(images=8, views=views, seed=seed)
    settings = {"temperature": 0.3, "beta": 0.7, "class_temperatures": class_temperatures}
    value = subclass_contrastive(*batch, base_temperature=0.2, **settings)
    assert float(value) == pytest.approx(oracles.subclass(*batch, base=0.2, **settings), rel=1e-5)


@pytest.mark.parametrize("second", [None, 0.4])
@pytest.mark.parametrize("empty", [0, 5, 12])
def test_subclass_contrastive_queue_agrees_with_loops(second, empty):
    inputs = random_queue()
    for queue_ids in inputs[5:]:
        queue_ids[:empty] = -1
    inputs[6][-1] = -1  # a class is known, its subclass is not
    value = subclass_contrastive_queue(*inputs, temperature=0.3, beta=0.7, class_temperature=second)
    expected = oracles.subclass_queue(*inputs, temperature=0.3, beta=0.7, second=second)
    assert float(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("k", [0, 1, 3, 20])
@pytest.mark.parametrize("empty", [0, 5, 12])
def test_k_positive_contrastive_agrees_with_loops(k, empty):
    query, key, queue, labels, _, queue_labels, _ = random_queue()
    queue_labels[:empty] = -1
    draws = torch.rand(k, 5, generator=torch.Generator().manual_seed(1))
    value = k_positive_contrastive(query, key, queue, labels, queue_labels, k=k, temperature=0.3, draws=draws)
    expected = oracles.k_positive(query, key, queue, labels, queue_labels, k=k, temperature=0.3, draws=draws.tolist())
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_subclass_contrastive_worked_example():
    def rows(*degrees):
        angles = torch.tensor(degrees).deg2rad()
        return torch.stack([angles.cos(), angles.sin()], dim=1)

    first, second = rows(0.0, 20.0, 50.0, 180.0), rows(10.0, 25.0, 40.0, 170.0)
    features = torch.stack([first, second], dim=1)
    labels, subclasses = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 2])
    settings = {"temperature": 0.1, "base_temperature": 0.07, "beta": 0.25}
    rank = subclass_contrastive(features, labels, subclasses, class_temperatures=torch.tensor([0.12, 0.1]), **settings)
    assert float(rank) == pytest.approx(0.896692 / 0.7 + 0.25 * 1.157654, abs=1e-5)
    assert float(subclass_contrastive(features, labels, subclasses, **settings)) == pytest.approx(1.639187, abs=1e-5)
    assert float(supervised_contrastive(features, labels, temperature=0.1)) == pytest.approx(1.432793, abs=1e-5)

    queue = rows(5.0, 30.0, 60.0, 90.0, 175.0, 200.0)
    ids = torch.tensor([0, 0, 0, 1, 1, -1]), torch.tensor([0, 0, 1, 2, 2, -1])
    value = subclass_contrastive_queue(
        first, second, queue, labels, subclasses, *ids, temperature=0.07, beta=0.2, class_temperature=0.12
    )
    assert float(value) == pytest.approx(2.531027, abs=1e-5)


# What does not matter


@in_batch
def test_in_batch_losses_do_not_depend_on_the_order_of_images_and_views(loss):
    features, labels, subclasses = random_batch(images=9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(5))
    value = loss(features, labels, subclasses)
    torch.testing.assert_close(loss(features[order], labels[order], subclasses[order]), value)
    torch.testing.assert_close(loss(features.flip(1), labels, subclasses), value)


@against_queue
def test_queue_losses_do_not_depend_on_a_common_rotation(loss):
    inputs = random_queue()
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3))).Q
    rotated = [rows @ rotation for rows in inputs[:3]]
    torch.testing.assert_close(loss(*rotated, *inputs[3:]), loss(*inputs))


@pytest.mark.parametrize("name", ["subclass", "subclass, one denominator"])
def test_names_of_subclasses_do_not_matter(name):
    features, labels, subclasses = random_batch(images=9)
    names = torch.randperm(100, generator=torch.Generator().manual_seed(5))
    value = IN_BATCH[name](features, labels, subclasses)
    assert torch.equal(IN_BATCH[name](features, labels, names[subclasses]), value)
    *inputs, own, queue_labels, theirs = random_queue()
    value = AGAINST_QUEUE[name](*inputs, own, queue_labels, theirs)
    assert torch.equal(AGAINST_QUEUE[name](*inputs, names[own], queue_labels, names[theirs]), value)


def test_order_of_the_queue_does_not_matter_to_subclass_contrastive_queue():
    *anchors, queue, labels, own, queue_labels, theirs = random_queue()
    loss = AGAINST_QUEUE["subclass"]
    torch.testing.assert_close(
        loss(*anchors, queue.flip(0), labels, own, queue_labels.flip(0), theirs.flip(0)),
        loss(*anchors, queue, labels, own, queue_labels, theirs),
    )


# Special cases that are other losses


def test_one_subclass_per_class_is_supervised_contrast_plus_instances_against_other_classes():
    features, labels, _ = random_batch(images=9)
    fine = subclass_contrastive(
        features, labels, labels, temperature=0.3, base_temperature=0.2, beta=0.0, class_temperatures=CLASS_TEMPERATURES
    )
    expected = supervised_contrastive(features, labels, temperature=0.3, base_temperature=0.2)
    torch.testing.assert_close(fine, expected)
    both = subclass_contrastive(features, labels, labels, temperature=0.3, base_temperature=None, beta=0.5)
    torch.testing.assert_close(both, 1.5 * supervised_contrastive(features, labels, temperature=0.3))


def test_every_image_its_own_subclass_is_instance_discrimination_plus_supervised_contrast():
    features, labels, _ = random_batch(images=9)
    value = subclass_contrastive(
        features,
        labels,
        torch.arange(9),
        temperature=0.3,
        base_temperature=None,
        beta=0.5,
        class_temperatures=torch.full((3,), 0.3),
    )
    instance, supervised = (supervised_contrastive(features, ids, temperature=0.3) for ids in (None, labels))
    torch.testing.assert_close(value, instance + 0.5 * supervised)


@pytest.mark.parametrize("k", [0, 4])
def test_k_positive_contrastive_with_an_empty_queue_is_info_nce(k):
    query, key, queue, labels, *_ = random_queue()
    empty = torch.full((12,), -1)
    value = k_positive_contrastive(query, key, queue, labels, empty, k=k, temperature=0.3)
    torch.testing.assert_close(value, info_nce(query[None], key[None], queue[None], 0.3))


def test_subclass_contrastive_queue_with_an_empty_queue_is_info_nce_at_two_temperatures():
    query, key, queue, labels, own, *_ = random_queue()
    empty = torch.full((12,), -1)
    value = subclass_contrastive_queue(
        query, key, queue, labels, own, empty, empty, temperature=0.3, beta=0.5, class_temperature=0.4
    )
    first, second = (info_nce(query[None], key[None], queue[None], temperature) for temperature in (0.3, 0.4))
    torch.testing.assert_close(value, first + 0.5 * second)


def test_unknown_subclasses_do_not_match_each_other():
    query, key, queue, labels, own, queue_labels, theirs = random_queue()
    theirs[:6] = -1
    settings = {"temperature": 0.3, "beta": 0.5, "class_temperature": 0.4}
    unknown = torch.full_like(own, -1)
    value = subclass_contrastive_queue(query, key, queue, labels, unknown, queue_labels, theirs, **settings)
    nobody = torch.full_like(own, 99)  # a subclass that the queue does not hold
    expected = subclass_contrastive_queue(query, key, queue, labels, nobody, queue_labels, theirs, **settings)
    assert torch.equal(value, expected)


def test_k_positive_contrastive_draws_from_the_default_generator():
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


@pytest.mark.parametrize("name", ["supervised", "instance"])
def test_anchors_without_positives_add_nothing(name):
    features, _, _ = random_batch(images=4, views=1)
    features.requires_grad_()
    value = IN_BATCH[name](features, torch.arange(4), torch.arange(4))
    value.backward()
    assert value.item() == 0
    assert not features.grad.any()


def test_an_anchor_without_positives_counts_in_the_mean():
    features, _, _ = random_batch(images=3, views=1)
    features.requires_grad_()
    labels = torch.tensor([0, 0, 1])
    value = supervised_contrastive(features, labels, temperature=0.3)
    assert value.item() == pytest.approx(oracles.supervised(features, labels, 0.3, 0.3))
    value.backward()
    assert features.grad.isfinite().all()
    assert features.grad[2].any()  # it is among the candidates of the others


@in_batch
@pytest.mark.parametrize("views", [1, 2])
def test_one_image_gives_finite_values_and_gradients(loss, views):
    features, labels, subclasses = random_batch(images=1, views=views)
    features.requires_grad_()
    value = loss(features, labels, subclasses)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert features.grad.abs().max() < 1e-5


# Numbers


@in_batch
def test_in_batch_losses_are_computed_in_float32_under_autocast(loss):
    features, labels, subclasses = random_batch(images=8, width=64)
    features = features.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(features, labels, subclasses, 0.07)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(features.detach().float(), labels, subclasses, 0.07))
    assert features.grad.isfinite().all() and features.grad.any()


@against_queue
def test_queue_losses_are_computed_in_float32_under_autocast(loss):
    rows, ids = random_queue(width=64)[:3], random_queue(width=64)[3:]
    query, key, queue = (row.bfloat16() for row in rows)
    query.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(query, key, queue, *ids, 0.07)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(query.detach().float(), key.float(), queue.float(), *ids, 0.07))
    assert query.grad.isfinite().all() and query.grad.any()


def alike_and_opposite(rows):
    """Unit rows that all lie on one axis, every second one in the other direction: cosines of 1 and -1 only."""
    rows = torch.zeros_like(rows)
    rows.view(-1, rows.shape[-1])[:, 0] = torch.where(torch.arange(rows[..., 0].numel()) % 2 == 0, 1.0, -1.0)
    return rows


@pytest.mark.parametrize("temperature", [0.005, 0.01, 0.1])
@pytest.mark.parametrize("change", [torch.clone, alike_and_opposite], ids=["random", "extreme"])
@in_batch
def test_in_batch_losses_are_finite_at_small_temperatures(loss, change, temperature):
    features, labels, subclasses = random_batch(images=8)
    features = change(features).requires_grad_()
    value = loss(features, labels, subclasses, temperature)
    value.backward()
    assert value.isfinite() and features.grad.isfinite().all()


@pytest.mark.parametrize("temperature", [0.005, 0.01, 0.1])
@pytest.mark.parametrize("change", [torch.clone, alike_and_opposite], ids=["random", "extreme"])
@against_queue
def test_queue_losses_are_finite_at_small_temperatures(loss, change, temperature):
    query, key, queue, *ids = random_queue()
    query, key, queue = change(query).requires_grad_(), change(key), change(queue)
    value = loss(query, key, queue, *ids, temperature)
    value.backward()
    assert value.isfinite() and query.grad.isfinite().all()


@in_batch
def test_gradients_of_in_batch_losses_agree_with_finite_differences(loss):
    features, labels, subclasses = random_batch(images=4, width=3)
    features = features.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, subclasses), features)


@against_queue
def test_gradients_of_queue_losses_agree_with_finite_differences(loss):
    query, key, queue, *ids = random_queue()
    query = query.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, key.double(), queue.double(), *ids), query)
