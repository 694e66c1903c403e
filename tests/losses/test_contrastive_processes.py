"""The contrastive losses of SBCL over one, two and three processes: values and gradients of one process."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from longtail.losses.contrastive import subclass_contrastive, subclass_contrastive_queue, supervised_contrastive
from longtail.models.heads import l2_normalize
from tests.helpers.contrastive_loops import random_batch, random_queue
from tests.helpers.processes import Results, run_processes

pytestmark = pytest.mark.slow

WORLDS = (1, 2, 3)
IMAGES = 6  # of the global batch
Encode = Callable[[Tensor], Tensor]
ShardLoss = Callable[[Encode, slice], Tensor]  # the loss of the rows that a process has


def supervised(encode: Encode, own: slice) -> Tensor:
    images, labels, _ = random_batch(IMAGES)
    return supervised_contrastive(encode(images[own]), labels[own], temperature=0.3)


def lone_anchors(encode: Encode, own: slice) -> Tensor:
    images, _, _ = random_batch(IMAGES, views=1)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])  # a process sees both images of class 0 only in the global batch
    return supervised_contrastive(encode(images[own]), labels[own], temperature=0.3)


def instance(encode: Encode, own: slice) -> Tensor:
    return supervised_contrastive(encode(random_batch(IMAGES).features[own]), None, temperature=0.3)


def subclass(encode: Encode, own: slice) -> Tensor:
    images, labels, subclasses = random_batch(IMAGES)
    scales = torch.tensor([0.2, 0.3, 0.4])
    return subclass_contrastive(
        encode(images[own]),
        labels[own],
        subclasses[own],
        temperature=0.3,
        base_temperature=0.2,
        beta=0.5,
        class_temperatures=scales,
    )


def subclass_one_denominator(encode: Encode, own: slice) -> Tensor:
    images, labels, subclasses = random_batch(IMAGES)
    features = encode(images[own])
    return subclass_contrastive(
        features, labels[own], subclasses[own], temperature=0.3, base_temperature=None, beta=0.5
    )


def queue(encode: Encode, own: slice) -> Tensor:
    query, key, keys, labels, subclasses, *queue_ids = random_queue(IMAGES)
    ids = (labels[own], subclasses[own], *queue_ids)
    rows = (encode(query[own]), key[own], keys)
    return subclass_contrastive_queue(*rows, *ids, temperature=0.3, beta=0.5, class_temperature=0.4)


LOSSES: dict[str, ShardLoss] = {
    "supervised": supervised,
    "lone_anchors": lone_anchors,
    "instance": instance,
    "subclass": subclass,
    "subclass_one_denominator": subclass_one_denominator,
    "queue": queue,
}


def value_and_gradients(
    loss: ShardLoss, wrap: Callable[[nn.Module], nn.Module] = lambda module: module, own: slice = slice(None)
) -> tuple[Tensor, list[Any]]:
    """Return the loss of an encoder and the gradients of its parameters."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 5))
    wrapped = wrap(encoder)
    value = loss(lambda rows: l2_normalize(wrapped(rows)), own)
    value.backward()
    return value.detach(), [parameter.grad for parameter in encoder.parameters()]


def work(rank: int, world: int) -> dict[str, tuple[Tensor, list[Any]]]:
    own = slice(rank * IMAGES // world, (rank + 1) * IMAGES // world)
    return {name: value_and_gradients(loss, DistributedDataParallel, own) for name, loss in LOSSES.items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=WORLDS)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", LOSSES)
def test_contrastive_losses_over_processes_have_the_gradients_of_the_whole_batch(
    results: Results, world: int, name: str
) -> None:
    _, expected = value_and_gradients(LOSSES[name])
    for process in results[world]:
        _, gradients = process[name]
        for gradient, wanted in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "queue"])
def test_in_batch_losses_over_processes_have_the_value_of_the_whole_batch(
    results: Results, world: int, name: str
) -> None:
    expected, _ = value_and_gradients(LOSSES[name])
    values = [process[name][0] for process in results[world]]
    torch.testing.assert_close(values[0], expected)
    assert all(torch.equal(value, values[0]) for value in values)


@pytest.mark.parametrize("world", WORLDS)
def test_queue_losses_over_processes_average_to_the_value_of_the_whole_batch(results: Results, world: int) -> None:
    expected, _ = value_and_gradients(queue)
    torch.testing.assert_close(torch.stack([process["queue"][0] for process in results[world]]).mean(), expected)
