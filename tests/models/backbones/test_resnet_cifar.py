"""ResNet-32 for small images."""

import pytest
import torch

from longtail.models import BACKBONES, BackboneOptions
from tests.helpers.networks import count_parameters


def test_res32_cifar_size_and_output() -> None:
    backbone = BACKBONES.get("res32_cifar")(BackboneOptions())
    assert count_parameters(backbone) == 463_504
    assert backbone.out_features == 64
    assert backbone(torch.zeros(2, 3, 32, 32)).shape == (2, 64, 8, 8)


def test_res32_cifar_initial_convolutions_have_kaimings_std() -> None:
    torch.manual_seed(0)
    weight = BACKBONES.get("res32_cifar")(BackboneOptions()).state_dict()["layer3.0.conv1.weight"]
    assert weight.shape[:2] == (64, 32)  # fan-in and fan-out differ
    assert weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.03)
