"""Outputs of networks."""

import torch

from longtail.models import FeaturesOnly
from tests.helpers.networks import res32


def test_features_only_has_the_features_of_the_network_without_logits() -> None:
    network, images = res32(experts=2).eval(), torch.zeros(3, 3, 32, 32)
    found, wanted = FeaturesOnly(network)(images), network(images)
    assert found.logits.shape == (2, 3, 0) and found.logits.device == wanted.logits.device
    assert torch.equal(found.features, wanted.features)
    assert not FeaturesOnly(network).training and FeaturesOnly(network.train()).training
