"""Class activation maps against a loop."""

import pytest
import torch
from torch import nn

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import HEADS, Expert, build_model
from longtail.models.activation_maps import activation_maps, class_weights


class Features(nn.Module):
    """A backbone that gives what it is given."""

    def forward(self, images):
        return images


def expert_of(features, classes, head="FC"):
    torch.manual_seed(0)
    return Expert(Features(), HEADS.get(head)(load_config(), features, classes)).eval()


@pytest.mark.parametrize("head", list(HEADS))
def test_maps_are_weighted_sums_of_the_features(head):
    expert = expert_of(5, 3, head)
    features = torch.randn(4, 5, 2, 3, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([2, 0, 1, 2])
    maps = activation_maps(expert, features, labels)
    weight = class_weights(expert)
    assert weight.shape == (3, 5)
    for sample in range(4):
        naive = torch.zeros(2, 3)
        for row in range(2):
            for column in range(3):
                for d in range(5):
                    naive[row, column] += weight[labels[sample], d] * features[sample, d, row, column]
        naive -= naive.min()
        assert torch.allclose(maps[sample], naive / naive.max(), atol=1e-6)


def test_the_mean_of_a_raw_map_is_the_logit():
    network = build_model(load_config(None, ["BACKBONE.TYPE", "res32_cifar", "CLASSIFIER.BIAS", False]), 4).eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 3, 1])
    expert = network.experts[0]
    raw = torch.einsum("bdhw,bd->bhw", expert.backbone(images), expert.head.weight[labels])
    assert torch.allclose(raw.mean((1, 2)), network(images).logits[0, range(3), labels], atol=1e-4)
    low, high = raw.amin((1, 2), keepdim=True), raw.amax((1, 2), keepdim=True)
    assert torch.allclose(activation_maps(expert, images, labels), (raw - low) / (high - low), atol=1e-4)


def test_a_flat_map_is_zero():
    assert activation_maps(expert_of(2, 2), torch.ones(1, 2, 3, 3), torch.tensor([0])).eq(0).all()


def test_vectors_have_no_maps():
    with pytest.raises(UserError, match="need a backbone that gives feature maps; Features gives vectors"):
        activation_maps(expert_of(2, 2), torch.ones(1, 2), torch.tensor([0]))


def test_a_head_without_a_matrix_is_refused():
    with pytest.raises(UserError, match="a weight for each class; Identity has none"):
        class_weights(Expert(Features(), nn.Identity()))
