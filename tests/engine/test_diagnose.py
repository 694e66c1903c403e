"""Finding what is not finite in a network."""

import pytest
import torch
from torch import nn

from longtail.engine.diagnose import find_non_finite, non_finite_entry, non_finite_module

IMAGES = torch.ones(2, 3, 8, 8)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Flatten(), nn.Linear(144, 2)))


def test_find_non_finite_of_a_finite_network_is_none() -> None:
    assert find_non_finite(network(), IMAGES) is None
    assert find_non_finite(network(), None) is None
    assert find_non_finite(nn.Flatten(), IMAGES) is None


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["0.bias", "1.weight", "1.running_mean", "1.running_var", "2.1.weight"])
def test_non_finite_entry_names_parameters_and_buffers(name: str, value: float) -> None:
    net = network()
    net.state_dict()[name].view(-1)[1] = value
    assert non_finite_entry(net) == name
    assert find_non_finite(net, IMAGES) == f"{name} is not finite"


def test_non_finite_entry_names_the_first_one() -> None:
    net = network()
    for name in ("1.running_var", "0.weight"):
        net.state_dict()[name].fill_(torch.nan)
    assert non_finite_entry(net) == "0.weight"


def test_non_finite_module_names_the_first_module_whose_output_overflows() -> None:
    net = network()
    net.state_dict()["0.bias"].fill_(100)
    net.state_dict()["1.weight"].fill_(3e38)
    assert non_finite_module(net, IMAGES) == "1"
    assert find_non_finite(net, IMAGES) == "outputs of 1 are not finite"
    assert find_non_finite(net, None) is None


def test_non_finite_module_leaves_modes_statistics_and_hooks_as_they_were() -> None:
    net = network().train()
    net[2].eval()
    mean = net.get_buffer("1.running_mean").clone()
    non_finite_module(net, IMAGES)
    assert [module.training for module in net] == [True, True, False]
    assert torch.equal(net.get_buffer("1.running_mean"), mean)
    assert not any(module._forward_hooks for module in net.modules())


def test_non_finite_module_restores_the_modes_after_an_error() -> None:
    net = network().train()
    with pytest.raises(RuntimeError):
        non_finite_module(net, torch.ones(2, 5, 8, 8))
    assert all(module.training for module in net.modules())
