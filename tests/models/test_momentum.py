import pytest
import torch

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import PROJECTIONS, KeyEncoder, KeyQueue, build_model

OPTIONS = ["BACKBONE.TYPE", "res32_cifar", "NETWORK.MOCO", True, "NETWORK.MOCO_DIM", 5]


def naive(batches, length):
    """A ring that takes key after key: the places of the keys, None where none came, and the next place."""
    ring, pointer = [None] * length, 0
    for batch in batches:
        for key in batch:
            ring[pointer] = key
            pointer = (pointer + 1) % length
    return ring, pointer


@pytest.mark.parametrize("sizes", [[3], [4, 4], [3, 3, 3], [7], [2, 17, 1], [6, 1]])
def test_the_queue_is_a_ring_for_batches_of_any_size(sizes):
    queue = KeyQueue(experts=2, length=7, width=3)
    first = queue.keys.clone()
    numbers = iter(range(100))
    batches = [[float(next(numbers)) for _ in range(size)] for size in sizes]
    for batch in batches:
        one = torch.tensor(batch)[:, None].expand(-1, 3)
        queue.enqueue(torch.stack([one, -one]))
    ring, pointer = naive(batches, 7)
    assert int(queue.pointer) == pointer
    for place, key in enumerate(ring):
        for expert, sign in enumerate((1, -1)):
            expected = first[expert, place] if key is None else torch.full((3,), sign * key)
            assert torch.equal(queue.keys[expert, place], expected)


def test_the_queue_begins_with_directions_and_is_restored_by_its_state():
    queue, other = KeyQueue(2, 7, 3), KeyQueue(2, 7, 3)
    torch.testing.assert_close(queue.keys.norm(dim=2), torch.ones(2, 7))
    queue.enqueue(torch.randn(2, 4, 3))
    other.load_state_dict(queue.state_dict())
    more = torch.randn(2, 5, 3)
    queue.enqueue(more)
    other.enqueue(more)
    assert torch.equal(queue.keys, other.keys)


def model(*overrides):
    return build_model(load_config(None, [*OPTIONS, *overrides]), 10)


def test_the_key_encoder_starts_as_a_copy_and_follows_by_the_formula():
    network = model()
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


def test_batch_norm_statistics_are_those_of_the_keys():
    network = model()
    keys = KeyEncoder(network, 0.9)
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    keys(images)
    keys.follow()
    statistics = {name: value for name, value in keys.named_buffers() if name.endswith("running_mean")}
    others = dict(network.named_buffers())
    assert all(torch.equal(others[name], torch.zeros_like(value)) for name, value in statistics.items())
    assert all(value.any() for value in statistics.values())
    before = {name: value.clone() for name, value in statistics.items()}
    keys.eval()(images)
    assert all(torch.equal(value, before[name]) for name, value in statistics.items())


def test_keys_have_length_one():
    keys = KeyEncoder(model(), 0.9)(torch.randn(4, 3, 8, 8))
    assert keys.shape == (1, 4, 5)
    torch.testing.assert_close(keys.norm(dim=2), torch.ones(1, 4))


@pytest.mark.parametrize("kind", list(PROJECTIONS))
def test_projections_are_made_only_when_asked_for(kind):
    network = model("CLASSIFIER.SEMI_TYPE", kind)
    images = torch.randn(2, 3, 8, 8)
    calls = []
    network.experts[0].projection.register_forward_hook(lambda *_: calls.append(1))
    assert network(images).projections is None
    assert calls == []
    output = network(images, project=True)
    assert output.projections.shape == (1, 2, 5)
    torch.testing.assert_close(output.projections[0], network.experts[0].projection(output.features[0]))


def test_the_rest_of_the_network_starts_as_without_projections():
    torch.manual_seed(0)
    plain = model("NETWORK.MOCO", False).state_dict()
    torch.manual_seed(0)
    contrastive = model().state_dict()
    assert {name for name in contrastive if name not in plain} == {
        f"experts.0.projection.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }
    assert all(torch.equal(value, contrastive[name]) for name, value in plain.items())


def test_an_unknown_projection_head_is_refused():
    with pytest.raises(UserError, match=r"^unknown projection head 'mpl'; .*did you mean mlp\?$"):
        model("CLASSIFIER.SEMI_TYPE", "mpl")
