"""Shuffling batch norm."""

from typing import Any

import pytest
import torch

from longtail.distributed.gathering import rank_and_size
from longtail.distributed.shuffle import Shuffle
from tests.helpers.processes import Results, run_processes

pytestmark = pytest.mark.slow

WORLDS = (1, 2, 3)
ROUNDS = 3


def work(rank: int, world: int) -> list[Any]:
    """Return of each round the images that this process got, its own keys, and the keys of all processes."""
    shuffle = Shuffle(seed=3)
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 2, 2)[rank * 6 // world : (rank + 1) * 6 // world]
    images = images.contiguous(memory_format=torch.channels_last)
    rounds = []
    for _ in range(ROUNDS):
        scattered, permutation = shuffle.scatter(images)
        assert scattered.is_contiguous(memory_format=torch.channels_last)
        keys = torch.stack([scattered[:, 0, 0], 10 * scattered[:, 0, 0]])  # of two experts
        rounds.append([scattered[:, 0, 0, 0].clone(), *shuffle.gather(keys, permutation)])
    return rounds


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=WORLDS)


@pytest.mark.parametrize("world", WORLDS)
def test_shuffle_scatter_permutes_the_images_of_all_processes(results: Results, world: int) -> None:
    everyone = torch.arange(6.0)
    for number in range(ROUNDS):
        scattered = torch.cat([process[number][0] for process in results[world]])
        assert torch.equal(scattered.sort().values, everyone)
        assert torch.equal(scattered, everyone) == (world == 1)


@pytest.mark.parametrize("world", WORLDS)
def test_shuffle_gather_restores_the_order_of_the_images(results: Results, world: int) -> None:
    everyone, size = torch.arange(6.0), 6 // world
    for number in range(ROUNDS):
        for rank, process in enumerate(results[world]):
            _, own, gathered = process[number]
            assert torch.equal(gathered[..., 0], torch.stack([everyone, 10 * everyone]))
            assert torch.equal(own, gathered[:, rank * size : (rank + 1) * size])


def test_shuffle_draws_a_new_permutation_every_time(results: Results) -> None:
    rounds = [torch.cat([process[number][0] for process in results[3]]).tolist() for number in range(ROUNDS)]
    assert rounds[0] != rounds[1] != rounds[2]


def test_shuffle_in_one_process_returns_its_input() -> None:
    images, keys = torch.rand(2, 3, 4, 4), torch.rand(1, 2, 5)
    shuffle = Shuffle(0)
    scattered, permutation = shuffle.scatter(images)
    assert scattered is images and permutation is None
    assert shuffle.gather(keys, permutation) == (keys, keys)
    assert rank_and_size() == (0, 1)


def test_shuffle_state_dict_restores_the_generator() -> None:
    first, second = Shuffle(1), Shuffle(2)
    torch.randperm(5, generator=first.generator)
    second.load_state_dict(first.state_dict())
    draws = [torch.randperm(50, generator=shuffle.generator) for shuffle in (first, second)]
    assert torch.equal(draws[0], draws[1])
