"""Contrastive losses over one, two and three processes: the values and parameter gradients of one process."""

import pytest
import torch
import torch._dynamo  # DistributedDataParallel imports it: once here instead of in every process
import torch.distributed as dist
from contrastive_oracles import random_batch, random_queue
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from longtail.losses.contrastive import subclass_contrastive, subclass_contrastive_queue, supervised_contrastive
from longtail.distributed.gathering import average, gather
from longtail.models.heads import unit

WORLDS = (1, 2, 3)
IMAGES = 6  # of the global batch
SETTINGS = {"temperature": 0.3, "beta": 0.5}


def supervised(encode, own):
    images, labels, _ = random_batch(IMAGES)
    return supervised_contrastive(encode(images[own]), labels[own], temperature=0.3)


def lone_anchors(encode, own):
    images, _, _ = random_batch(IMAGES, views=1)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])  # a process sees both images of class 0 only in the global batch
    return supervised_contrastive(encode(images[own]), labels[own], temperature=0.3)


def instance(encode, own):
    return supervised_contrastive(encode(random_batch(IMAGES)[0][own]), None, temperature=0.3)


def subclass(encode, own):
    images, labels, subclasses = random_batch(IMAGES)
    scales = torch.tensor([0.2, 0.3, 0.4])
    return subclass_contrastive(
        encode(images[own]), labels[own], subclasses[own], base_temperature=0.2, class_temperatures=scales, **SETTINGS
    )


def subclass_one_denominator(encode, own):
    images, labels, subclasses = random_batch(IMAGES)
    features = encode(images[own])
    return subclass_contrastive(features, labels[own], subclasses[own], base_temperature=None, **SETTINGS)


def queue(encode, own):
    query, key, keys, labels, subclasses, *queue_ids = random_queue(IMAGES)
    ids = (labels[own], subclasses[own], *queue_ids)
    return subclass_contrastive_queue(encode(query[own]), key[own], keys, *ids, class_temperature=0.4, **SETTINGS)


LOSSES = [supervised, lone_anchors, instance, subclass, subclass_one_denominator, queue]


def value_and_gradients(loss, wrap, own=slice(None)):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 5))
    wrapped = wrap(encoder)
    value = loss(lambda rows: unit(wrapped(rows)), own)
    value.backward()
    return value.detach(), [parameter.grad for parameter in encoder.parameters()]


def work(rank, world, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting{world}", rank=rank, world_size=world)
    own = slice(rank * IMAGES // world, (rank + 1) * IMAGES // world)
    results = {loss.__name__: value_and_gradients(loss, DistributedDataParallel, own) for loss in LOSSES}

    rows = torch.full((2, 3), float(rank), requires_grad=True)
    everyone = gather(rows)
    (everyone * torch.arange(2.0 * world)[:, None] * (rank + 1)).sum().backward()
    mean = average(torch.tensor(float(rank), requires_grad=True))
    results["parts"] = (everyone.detach(), rows.grad, mean.detach())
    torch.save(results, f"{folder}/{world}-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What every process of every world computed: world -> rank -> results."""
    folder = tmp_path_factory.mktemp("worlds")
    context = torch.multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(rank, world, folder)) for world in WORLDS for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode == 0
    return {world: [torch.load(folder / f"{world}-{rank}.pt") for rank in range(world)] for world in WORLDS}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_parameter_gradients_are_those_of_one_process_with_the_whole_batch(results, world, loss):
    _, expected = value_and_gradients(loss, lambda module: module)
    for process in results[world]:
        _, gradients = process[loss.__name__]
        for gradient, wanted in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("loss", LOSSES[:-1], ids=lambda loss: loss.__name__)
def test_in_batch_losses_have_the_value_of_the_whole_batch_in_every_process(results, world, loss):
    expected, _ = value_and_gradients(loss, lambda module: module)
    values = [process[loss.__name__][0] for process in results[world]]
    torch.testing.assert_close(values[0], expected)
    assert all(torch.equal(value, values[0]) for value in values)


@pytest.mark.parametrize("world", WORLDS)
def test_queue_losses_average_to_the_value_of_the_whole_batch(results, world):
    expected, _ = value_and_gradients(queue, lambda module: module)
    torch.testing.assert_close(torch.stack([process["queue"][0] for process in results[world]]).mean(), expected)


@pytest.mark.parametrize("world", WORLDS)
def test_gather_returns_rows_by_rank_and_sums_the_gradients_of_all_processes(results, world):
    factor = sum(rank + 1.0 for rank in range(world))
    for rank, process in enumerate(results[world]):
        everyone, gradient, mean = process["parts"]
        assert everyone[:, 0].tolist() == [row // 2 for row in range(2 * world)]
        assert gradient[:, 0].tolist() == [factor * (2 * rank), factor * (2 * rank + 1)]
        assert mean.item() == pytest.approx((world - 1) / 2)
