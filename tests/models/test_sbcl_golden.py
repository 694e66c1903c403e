"""The networks of SBCL's release: names, features and projections."""

import copy

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.models import (
    KeyEncoder,
    Network,
    QueryEncoder,
    SampleQueue,
    build_model,
    load_momentum_branch,
    load_released_weights,
    momentum_branch,
)
from longtail.models.projections import EncodedOutput
from tests.helpers.golden import record, relative_error, released_parameters, tensor

CIFAR, MOCO = record("sbcl_networks")["cases"]
CIFAR_CONFIG = ["BACKBONE.TYPE", "res32_cifar", "NETWORK.PROJECTION_DIM", 128]
MOCO_CONFIG = ["BACKBONE.TYPE", "res50", "NETWORK.MOCO", True, "NETWORK.MOCO_DIM", 128]


class Branch(torch.nn.Module):
    """Key encoder and queue, as a training method holds them."""

    def __init__(self, network: Network, length: int) -> None:
        super().__init__()
        self.key_encoder = KeyEncoder(network, 0.999)
        self.queue = SampleQueue(1, length, width=128)


def network_of(config: list[object], classes: int = 10) -> Network:
    """Return an untrained network in evaluation mode."""
    torch.manual_seed(0)
    network = build_model(load_config(None, config), classes)
    assert isinstance(network, Network)
    return network.eval()


def released(case: dict[str, dict[str, list[int]]], prefix: str = "module.") -> dict[str, Tensor]:
    """Return the content of a released file."""
    return {f"{prefix}{name}": value for name, value in released_parameters(case["parameters"]).items()}


def test_sbcl_networks_golden_cases_are_complete() -> None:
    assert len(record("sbcl_networks")["cases"]) == 2


@pytest.mark.parametrize("prefix", ["", "module."])
def test_released_cifar_network_has_the_recorded_features_and_projections(prefix: str) -> None:
    network = network_of(CIFAR_CONFIG)
    report = load_released_weights(network, released(CIFAR, prefix))
    assert sorted(report.missing) == ["experts.0.head.bias", "experts.0.head.weight"]
    assert sorted(report.unexpected) == [f"{prefix}encoder.linear.bias", f"{prefix}encoder.linear.weight"]
    images = tensor("sbcl_networks", "000.images")
    with torch.no_grad():
        features, vectors = network(images).features[0], QueryEncoder(network)(images)[0]
    assert relative_error(features, tensor("sbcl_networks", "000.features")) < 1e-4
    assert relative_error(vectors, tensor("sbcl_networks", "000.projection")) < 1e-4


@pytest.mark.slow
def test_released_queue_network_has_the_recorded_projections() -> None:
    network = network_of(MOCO_CONFIG)
    file = released(MOCO)
    report = load_released_weights(network, file)
    assert sorted(report.missing) == ["experts.0.head.bias", "experts.0.head.weight"]
    assert all(name.removeprefix("module.").startswith(("encoder_k.", "queue")) for name in report.unexpected)
    branch = Branch(network, length=64).eval()
    report = load_momentum_branch(branch, file)
    assert report.missing == ["queue.samples"]
    assert not report.unexpected
    assert torch.equal(branch.queue.keys[0], file["module.queue"].T)
    assert bool((branch.queue.samples == -1).all())
    images = tensor("sbcl_networks", "001.images")
    with torch.no_grad():
        queries, keys = QueryEncoder(network)(images)[0], branch.key_encoder(images)[0]
    assert relative_error(queries, tensor("sbcl_networks", "001.query_projection")) < 1e-4
    assert relative_error(keys, tensor("sbcl_networks", "001.key_projection")) < 1e-4


def small_file(length: int) -> tuple[Network, dict[str, Tensor]]:
    """Return a small network, and a file in which it is the key encoder, with a queue."""
    network = network_of([*CIFAR_CONFIG, "NETWORK.PROJECTION_DIM", 0, "NETWORK.MOCO", True])
    parts = {"backbone": "encoder_k.", "projection": "encoder_k.fc."}
    file = {
        parts[name.split(".")[2]] + name.split(".", 3)[3]: value
        for name, value in network.state_dict().items()
        if ".head." not in name
    }
    return network, {**file, "queue": torch.randn(128, length), "queue_ptr": torch.tensor([3])}


def test_load_momentum_branch_can_leave_out_a_queue_of_another_length() -> None:
    network, file = small_file(length=12)
    branch = Branch(network_of([*CIFAR_CONFIG, "NETWORK.PROJECTION_DIM", 0, "NETWORK.MOCO", True]), length=16)
    with torch.no_grad():
        for parameter in branch.key_encoder.parameters():
            parameter.zero_()
    before = copy.deepcopy(branch.queue.state_dict())
    report = load_momentum_branch(branch, file, queue_must_fit=False)
    assert report.reshaped == ["queue.keys [1, 12, 128] instead of [1, 16, 128]"]
    assert all(torch.equal(value, before[name]) for name, value in branch.queue.state_dict().items())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(branch.eval().key_encoder(images), QueryEncoder(network)(images))


def test_momentum_branch_of_sbcl_needs_a_key_encoder() -> None:
    assert momentum_branch(released_parameters(CIFAR["parameters"])) == {}
    names = momentum_branch(small_file(length=12)[1])
    assert names["queue.keys"].shape == (1, 12, 128)
    assert int(names["queue.pointer"]) == 3


def test_encoded_output_has_vectors_as_features_and_keeps_the_mode() -> None:
    network = network_of(CIFAR_CONFIG)
    encoder = EncodedOutput(QueryEncoder(network))
    assert not encoder.training
    images = torch.randn(2, 3, 32, 32)
    output = encoder(images)
    assert output.logits.shape == (1, 2, 0)
    assert output.projections is None
    assert torch.equal(output.features, QueryEncoder(network)(images))
    assert EncodedOutput(QueryEncoder(network.train())).training
