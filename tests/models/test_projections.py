"""Projection heads of contrastive learning."""

from typing import Any

import pytest
import torch
from torch import nn

from longtail.errors import UserError
from longtail.models import PROJECTIONS, Network
from tests.helpers.networks import expert_of, res32


def moco(*overrides: Any) -> Network:
    return res32("NETWORK.MOCO", True, "NETWORK.MOCO_DIM", 5, *overrides)


@pytest.mark.parametrize("kind", list(PROJECTIONS))
def test_projections_are_computed_only_on_request(kind: str) -> None:
    network = moco("CLASSIFIER.SEMI_TYPE", kind)
    images = torch.randn(2, 3, 8, 8)
    calls: list[int] = []
    projection = expert_of(network).projection
    projection.register_forward_hook(lambda *_: calls.append(1))
    assert network(images).projections is None
    assert calls == []
    output = network(images, project=True)
    assert output.projections is not None and output.projections.shape == (1, 2, 5)
    torch.testing.assert_close(output.projections[0], projection(output.features[0]))


def test_mlp_projection_has_a_hidden_layer_of_the_feature_width() -> None:
    projection = expert_of(moco()).projection
    assert [type(layer) for layer in projection] == [nn.Linear, nn.ReLU, nn.Linear]
    assert [projection[0].weight.shape, projection[2].weight.shape] == [(64, 64), (5, 64)]
    assert expert_of(moco("CLASSIFIER.BIAS", False)).projection[0].bias is None


def test_projections_do_not_change_the_initial_weights_of_the_rest() -> None:
    plain, contrastive = moco("NETWORK.MOCO", False).state_dict(), moco().state_dict()
    assert {name for name in contrastive if name not in plain} == {
        f"experts.0.projection.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }
    assert all(torch.equal(value, contrastive[name]) for name, value in plain.items())


def test_projection_heads_without_momentum_encoder() -> None:
    network, twin = res32("NETWORK.PROJECTION_DIM", 5), moco()
    assert network.state_dict().keys() == twin.state_dict().keys()
    output = network(torch.randn(2, 3, 8, 8), project=True)
    assert output.projections is not None and output.projections.shape == (1, 2, 5)
    assert expert_of(moco("NETWORK.PROJECTION_DIM", 9)).projection[2].weight.shape == (5, 64)


def test_unknown_projection_head_lists_the_nearest() -> None:
    with pytest.raises(UserError, match=r"^unknown projection head 'mpl'; .*did you mean mlp\?$"):
        moco("CLASSIFIER.SEMI_TYPE", "mpl")
