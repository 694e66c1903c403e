"""Class activation maps against loops."""

import pytest
import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import HEADS, Expert
from longtail.models.activation_maps import activation_maps, class_weights
from tests.helpers.networks import expert_of, res32


class Features(nn.Module):
    """A backbone that returns its input."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def expert_with(features: int, classes: int, head: str = "FC") -> Expert:
    torch.manual_seed(0)
    return Expert(Features(), HEADS.get(head)(load_config(), features, classes)).eval()


@pytest.mark.parametrize("head", list(HEADS))
def test_activation_maps_match_loop(head: str) -> None:
    expert = expert_with(5, 3, head)
    features = torch.randn(4, 5, 2, 3, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([2, 0, 1, 2])
    maps = activation_maps(expert, features, labels=labels)
    weight = class_weights(expert)
    assert weight.shape == (3, 5)
    for sample in range(4):
        naive = torch.zeros(2, 3)
        for row in range(2):
            for column in range(3):
                for d in range(5):
                    naive[row, column] += weight[labels[sample], d] * features[sample, d, row, column]
        naive -= naive.min()
        torch.testing.assert_close(maps[sample], naive / naive.max(), rtol=0, atol=1e-6)


def test_activation_maps_mean_of_the_raw_map_is_the_logit() -> None:
    network = res32("CLASSIFIER.BIAS", False, num_classes=4)
    network.eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 3, 1])
    expert = expert_of(network)
    raw = torch.einsum("bdhw,bd->bhw", expert.backbone(images), expert.head.weight[labels])
    logits = network(images).logits[0, torch.arange(3), labels]
    torch.testing.assert_close(raw.mean((1, 2)), logits, rtol=0, atol=1e-4)
    low, high = raw.amin((1, 2), keepdim=True), raw.amax((1, 2), keepdim=True)
    maps = activation_maps(expert, images, labels=labels)
    torch.testing.assert_close(maps, (raw - low) / (high - low), rtol=0, atol=1e-4)


def test_activation_maps_constant_map_is_zero() -> None:
    maps = activation_maps(expert_with(2, 2), torch.ones(1, 2, 3, 3), labels=torch.tensor([0]))
    assert maps.eq(0).all()


def test_activation_maps_refuse_backbones_that_give_vectors() -> None:
    with pytest.raises(UserError, match="need a backbone that returns feature maps; Features returns vectors"):
        activation_maps(expert_with(2, 2), torch.ones(1, 2), labels=torch.tensor([0]))


def test_class_weights_refuse_heads_without_a_matrix() -> None:
    with pytest.raises(UserError, match="a weight for each class; Identity has none"):
        class_weights(Expert(Features(), nn.Identity()))
