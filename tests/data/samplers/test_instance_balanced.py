from typing import Any

import pytest
import torch

from longtail.config import load_config
from longtail.data import ImageSet, build_sampler
from longtail.data.samplers import InstanceBalanced
from longtail.data.seeding import AUGMENTATION, ORDER, generator


def test_indices_every_sample_once() -> None:
    order = InstanceBalanced(50, seed=0).indices(1)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(50))
    assert order.tolist() != list(range(50))


def test_indices_depend_on_seed_and_epoch() -> None:
    assert torch.equal(InstanceBalanced(50, 0).indices(3), InstanceBalanced(50, 0).indices(3))
    orders = {tuple(InstanceBalanced(50, seed).indices(epoch).tolist()) for seed in (0, 1) for epoch in (1, 2, 3)}
    assert len(orders) == 6


def test_indices_without_shuffle() -> None:
    assert InstanceBalanced(5, 0, shuffle=False).indices(3).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shuffle", [True, False])
def test_build_sampler_default(shuffle: Any) -> None:
    cfg = load_config(None, ["RAND_SEED", 7, "TRAIN.SHUFFLE", shuffle])
    images = ImageSet.from_tensor("set", torch.zeros(9, 3, 1, 1, dtype=torch.uint8), labels=[0] * 9, num_classes=1)
    expected = InstanceBalanced(9, 7, shuffle=shuffle).indices(2)
    assert torch.equal(build_sampler(cfg, images).indices(2), expected)


def test_generator_depends_on_whole_key() -> None:
    keys = [(0, ORDER, 1), (0, AUGMENTATION, 1), (0, ORDER, 2), (1, ORDER, 1), (0, AUGMENTATION, 1, 1)]
    draws = [torch.randint(2**62, (), generator=generator(*key)).item() for key in keys]
    assert len(set(draws)) == len(keys)
    assert draws == [torch.randint(2**62, (), generator=generator(*key)).item() for key in keys]


def test_generator_keeps_global_random_state() -> None:
    before = torch.get_rng_state()
    generator(0, ORDER, 1)
    InstanceBalanced(50, 0).indices(1)
    assert torch.equal(before, torch.get_rng_state())
