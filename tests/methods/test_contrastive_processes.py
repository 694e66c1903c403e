"""Contrastive training over one, two and three processes: one queue, keys in the order of the images."""

import pytest
import torch
import torch.distributed as dist
from contrastive_parts import batch, build, train
from torch.nn.parallel import DistributedDataParallel

from longtail.data import Batch
from longtail.methods.shuffle import Shuffle

WORLDS = (1, 2, 3)
STEPS = 4


def share(whole, rank, world):
    """The part of a batch that a process gets: as the loaders do it, a run of neighbours."""
    size = len(whole.labels) // world
    own = slice(rank * size, (rank + 1) * size)
    return Batch(whole.images[:, own], whole.labels[own], whole.indices[own])


def work(rank, world, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting{world}", rank=rank, world_size=world)
    results = {}
    for backbone in ("small", "small_norm"):
        method, network = build(backbone=backbone, wrap=DistributedDataParallel)
        train(method, network, [share(batch(number), rank, world) for number in range(STEPS)])
        results[backbone] = method.queue.state_dict()

    shuffle = Shuffle(seed=3)
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 2, 2)[rank * 6 // world : (rank + 1) * 6 // world]
    images = images.contiguous(memory_format=torch.channels_last)
    rounds = []
    for _ in range(3):
        dealt, permutation = shuffle.deal(images)
        assert dealt.is_contiguous(memory_format=torch.channels_last)
        keys = torch.stack([dealt[:, 0, 0], 10 * dealt[:, 0, 0]])  # of two experts
        rounds.append((dealt[:, 0, 0, 0].clone(), *shuffle.collect(keys, permutation)))
    results["rounds"] = rounds
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
@pytest.mark.parametrize("backbone", ["small", "small_norm"])
def test_queues_are_identical_in_all_processes(results, world, backbone):
    first, *others = (one[backbone] for one in results[world])
    assert int(first["pointer"]) == STEPS * 6 % 16
    for other in others:
        assert torch.equal(first["keys"], other["keys"])
        assert torch.equal(first["pointer"], other["pointer"])


@pytest.mark.parametrize("world", WORLDS[1:])
def test_without_batch_norm_the_queue_is_that_of_one_process(results, world):
    """So its keys stand in the order of the whole batch, and key encoder and gradients agree too."""
    torch.testing.assert_close(results[world][0]["small"]["keys"], results[1][0]["small"]["keys"])


@pytest.mark.parametrize("world", WORLDS)
def test_keys_come_back_in_the_order_of_the_images(results, world):
    for number in range(3):
        everyone = torch.arange(6.0)
        dealt = torch.cat([one["rounds"][number][0] for one in results[world]])
        assert torch.equal(dealt.sort().values, everyone)
        assert torch.equal(dealt, everyone) == (world == 1)
        for rank, one in enumerate(results[world]):
            _, own, gathered = one["rounds"][number]
            assert torch.equal(gathered[..., 0], torch.stack([everyone, 10 * everyone]))
            size = 6 // world
            assert torch.equal(own, gathered[:, rank * size : (rank + 1) * size])


def test_every_round_is_dealt_anew(results):
    rounds = [torch.cat([one["rounds"][number][0] for one in results[3]]).tolist() for number in range(3)]
    assert rounds[0] != rounds[1] != rounds[2]


def test_the_state_of_the_shuffle_goes_on():
    first, second = Shuffle(1), Shuffle(2)
    torch.randperm(5, generator=first.generator)
    second.load_state_dict(first.state_dict())
    draws = [torch.randperm(50, generator=shuffle.generator) for shuffle in (first, second)]
    assert torch.equal(*draws)
