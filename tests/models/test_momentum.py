"""Momentum encoder and queue of contrastive learning."""

from typing import Any

import pytest
import torch

from longtail.models import KeyEncoder, KeyQueue, Network, SampleQueue
from tests.helpers.networks import res32


def moco(*overrides: Any) -> Network:
    return res32("NETWORK.MOCO", True, "NETWORK.MOCO_DIM", 5, *overrides)


def ring(batches: list[list[float]], length: int) -> tuple[list[float | None], int]:
    """Return the slots of a ring buffer filled key by key (None: empty), and the next slot."""
    slots: list[float | None] = [None] * length
    pointer = 0
    for batch in batches:
        for key in batch:
            slots[pointer] = key
            pointer = (pointer + 1) % length
    return slots, pointer


@pytest.mark.parametrize("sizes", [[3], [4, 4], [3, 3, 3], [7], [2, 17, 1], [6, 1]])
def test_key_queue_is_a_ring_for_batches_of_any_size(sizes: list[int]) -> None:
    queue = KeyQueue(2, 7, width=3)
    first = queue.keys.clone()
    numbers = iter(range(100))
    batches = [[float(next(numbers)) for _ in range(size)] for size in sizes]
    for batch in batches:
        keys = torch.tensor(batch)[:, None].expand(-1, 3)
        queue.enqueue(torch.stack([keys, -keys]))
    slots, pointer = ring(batches, 7)
    assert int(queue.pointer) == pointer
    for slot, key in enumerate(slots):
        for expert, sign in enumerate((1, -1)):
            expected = first[expert, slot] if key is None else torch.full((3,), sign * key)
            assert torch.equal(queue.keys[expert, slot], expected)


def test_key_queue_starts_with_unit_keys() -> None:
    torch.testing.assert_close(KeyQueue(2, 7, width=3).keys.norm(dim=2), torch.ones(2, 7))


def test_key_queue_state_dict_restores_keys_and_pointer() -> None:
    queue, other = KeyQueue(2, 7, width=3), KeyQueue(2, 7, width=3)
    queue.enqueue(torch.randn(2, 4, 3))
    other.load_state_dict(queue.state_dict())
    more = torch.randn(2, 5, 3)
    queue.enqueue(more)
    other.enqueue(more)
    assert torch.equal(queue.keys, other.keys)


@pytest.mark.parametrize("sizes", [[3], [4, 4], [7], [2, 17, 1]])
def test_sample_queue_keeps_the_samples_of_its_keys(sizes: list[int]) -> None:
    queue, plain = SampleQueue(1, 7, width=3), KeyQueue(1, 7, width=3)
    plain.load_state_dict({name: value for name, value in queue.state_dict().items() if name != "samples"})
    assert queue.samples.tolist() == [-1] * 7
    taken = 0
    for size in sizes:
        samples = torch.arange(taken, taken + size)
        keys = samples[None, :, None].expand(1, -1, 3).float()
        queue.enqueue_samples(keys, samples)
        plain.enqueue(keys)
        taken += size
    assert torch.equal(queue.keys, plain.keys) and torch.equal(queue.pointer, plain.pointer)
    filled = queue.samples >= 0
    assert int(filled.sum()) == min(taken, 7)
    assert torch.equal(queue.keys[0, filled, 0], queue.samples[filled].float())


def test_key_encoder_starts_as_a_copy_and_follows() -> None:
    network = moco()
    keys = KeyEncoder(network, decay=0.9)
    own = dict(keys.named_parameters())
    followed = {name: value for name, value in network.named_parameters() if ".head." not in name}
    assert own.keys() == followed.keys()
    assert all(torch.equal(own[name], followed[name]) for name in own)
    assert not any(value.requires_grad for value in own.values())

    before = {name: value.clone() for name, value in own.items()}
    with torch.no_grad():
        for value in network.parameters():
            value.add_(torch.randn_like(value))
    keys.follow()
    for name, value in own.items():
        torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * followed[name])


def test_key_encoder_statistics_are_those_of_the_keys() -> None:
    network = moco()
    keys = KeyEncoder(network, 0.9)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    keys(images)
    keys.follow()
    statistics = {name: value for name, value in keys.named_buffers() if name.endswith("running_mean")}
    others = dict(network.named_buffers())
    assert all(torch.equal(others[name], torch.zeros_like(value)) for name, value in statistics.items())
    assert all(value.any() for value in statistics.values())
    before = {name: value.clone() for name, value in statistics.items()}
    keys.eval()
    keys(images)
    assert all(torch.equal(value, before[name]) for name, value in statistics.items())


@pytest.mark.parametrize(("statistics", "still"), [("still", True), ("moving", False)])
def test_key_encoder_of_a_frozen_backbone_treats_its_statistics_alike(statistics: str, still: bool) -> None:
    network = moco("BACKBONE.FREEZE", True, "BACKBONE.FROZEN_STATISTICS", statistics)
    keys = KeyEncoder(network, 0.9).train()
    before = {name: value.clone() for name, value in keys.named_buffers() if name.endswith("running_mean")}
    keys(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    buffers = dict(keys.named_buffers())
    assert before and all(torch.equal(buffers[name], value) == still for name, value in before.items())


def test_key_encoder_keys_have_unit_length() -> None:
    keys = KeyEncoder(moco(), 0.9)(torch.randn(4, 3, 8, 8))
    assert keys.shape == (1, 4, 5)
    torch.testing.assert_close(keys.norm(dim=2), torch.ones(1, 4))


def test_key_encoder_without_following_projection() -> None:
    network = moco()
    keys = KeyEncoder(network, 0.9, projection_follows=False)
    before = {name: value.clone() for name, value in keys.named_parameters()}
    with torch.no_grad():
        for value in network.parameters():
            value.add_(1)
    keys.follow()
    for name, value in keys.named_parameters():
        assert torch.equal(value, before[name]) == ("projection" in name)
