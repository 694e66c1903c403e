"""Loading released weights into networks, and weights into backbones."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import (
    BACKBONES,
    BackboneOptions,
    Output,
    build_model,
    load_backbone_weights,
    load_released_weights,
)
from tests.helpers.golden import Case, record, relative_error, released_parameters, tensor
from tests.helpers.networks import expert_of, res32, same_state, snapshot

RECORDS = {
    network["name"]: network for network in record("networks")["networks"] if network["options"][1] == "res32_cifar"
}
FC = RECORDS["ncl_res32_fc"]
MOMENTUM = ("MOCO.", "backbone_MA.", "classifier_MA.")


def released(network: Case, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: value for name, value in released_parameters(network["parameters"]).items()}


def built(network: Case, *overrides: Any) -> nn.Module:
    cfg = load_config(None, [*network["options"], *overrides])
    return build_model(cfg, network["num_classes"]).eval()


def bag_of_tricks(prefix: str = "") -> dict[str, Tensor]:
    """Return the first expert of the recorded network under the names of Bag of Tricks."""
    return {
        prefix + name.replace(".0.", ".", 1): value
        for name, value in released(FC).items()
        if name.startswith(("backbone.0.", "classifier.0."))
    }


@torch.no_grad()
def outputs(model: nn.Module, name: str) -> Output:
    output: Output = model(tensor("networks", f"{name}.images"))
    return output


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
@pytest.mark.parametrize("name", RECORDS)
def test_load_released_weights_matches_golden_outputs(name: str, prefix: str) -> None:
    network = RECORDS[name]
    model = built(network)
    report = load_released_weights(model, released(network, prefix))
    assert report.missing == []
    assert sorted(report.loaded) == sorted(model.state_dict())
    output = outputs(model, name)
    assert isinstance(output.features, Tensor)
    assert relative_error(output.logits, tensor("networks", f"{name}.logits")) < 1e-4
    if name != "ncl_moco_res32_fc":  # its record has queries instead
        assert relative_error(output.features, tensor("networks", f"{name}.features")) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDS)
def test_load_released_weights_reports_the_momentum_branch_as_unexpected(name: str) -> None:
    network = RECORDS[name]
    unexpected = load_released_weights(built(network), released(network, "module.")).unexpected
    rest = [key for key in network["parameters"] if key.startswith(MOMENTUM)]
    assert len(rest) > 500 or "moco" not in name
    assert sorted(unexpected) == sorted(f"module.{key}" for key in rest)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_load_released_weights_of_bag_of_tricks(prefix: str) -> None:
    model = res32()
    model.eval()
    report = load_released_weights(model, bag_of_tricks(prefix))
    assert (report.missing, report.unexpected) == ([], [])
    logits = outputs(model, "ncl_res32_fc").logits
    assert relative_error(logits, tensor("networks", "ncl_res32_fc.logits")[:1]) < 1e-4


def test_load_released_weights_of_this_project() -> None:
    first, second = res32(), res32()
    with torch.no_grad():
        for value in first.parameters():
            value.add_(1)
    report = load_released_weights(second, {f"module.{name}": value for name, value in first.state_dict().items()})
    assert (report.missing, report.unexpected) == ([], [])
    assert same_state(first.state_dict(), second.state_dict())


def test_load_released_weights_missing_ones_keep_their_values() -> None:
    model = res32()
    before = expert_of(model).head.weight.clone()
    file = {name: value for name, value in bag_of_tricks().items() if name.startswith("backbone")}
    report = load_released_weights(model, file | {"extra": torch.zeros(1)})
    assert report.missing == ["experts.0.head.weight", "experts.0.head.bias"]
    assert report.unexpected == ["extra"]
    assert torch.equal(expert_of(model).head.weight, before)


def test_load_released_weights_of_more_experts() -> None:
    model = built(FC, "BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"])
    report = load_released_weights(model, released(FC))
    assert report.missing == []
    assert {name.split(".")[1] for name in report.unexpected} == {"1", "2"}


WRONG = [
    (
        bag_of_tricks("module."),
        "weights do not fit: module.classifier.weight is [10, 64], the network's experts.0.head.weight is [11, 64]",
    ),
    (
        {"fc.weight": torch.zeros(3), "fc.bias": torch.zeros(3)},
        "none of the 2 names in the weights is known; expected",
    ),
    ({"classifier.weight": torch.zeros(64)}, "weights do not fit: classifier.weight is [64]"),
    ({}, "none of the 0 names"),
]


@pytest.mark.parametrize(("weights", "message"), WRONG, ids=["shape", "names", "dimensions", "empty"])
def test_load_released_weights_refuses_what_does_not_fit_and_loads_nothing(
    weights: dict[str, Tensor], message: str
) -> None:
    model = res32(num_classes=11)
    before = snapshot(model)
    with pytest.raises(UserError, match=rf"^{re.escape(message)}[^\n]*$"):
        load_released_weights(model, weights)
    assert same_state(before, model.state_dict())


# Backbones


def filled(backbone: nn.Module, number: float) -> dict[str, Tensor]:
    """Return weights of a backbone, all of one number."""
    return {name: torch.full_like(value, number) for name, value in backbone.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_load_backbone_weights_of_imagenet_style(prefix: str) -> None:
    backbone = BACKBONES.get("res32_cifar")(BackboneOptions())
    values = filled(backbone, 2)
    file = {prefix + name: value for name, value in values.items()} | {"fc.weight": torch.zeros(10, 64)}
    report = load_backbone_weights(backbone, file)
    assert (report.missing, report.unexpected) == ([], ["fc.weight"])
    assert same_state(backbone.state_dict(), values)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(("expert", "taken"), [(0, 2), (1, 3), (2, 2)])
def test_load_backbone_weights_of_a_network_of_this_project(prefix: str, expert: int, taken: int) -> None:
    """Each expert takes its own backbone; if the file has fewer experts, the first one's."""
    backbone = BACKBONES.get("res32_cifar")(BackboneOptions())
    file = {
        f"{prefix}experts.{index}.backbone.{name}": value
        for index in range(2)
        for name, value in filled(backbone, 2 + index).items()
    }
    report = load_backbone_weights(backbone, file | {f"{prefix}experts.0.head.weight": torch.ones(3)}, expert=expert)
    assert report.missing == []
    assert sorted(report.loaded) == sorted(backbone.state_dict())
    assert same_state(backbone.state_dict(), filled(backbone, taken))
    assert any("head.weight" in name for name in report.unexpected)


def test_load_backbone_weights_reports_other_shapes() -> None:
    backbone = BACKBONES.get("res32_cifar")(BackboneOptions())
    before = snapshot(backbone)
    file = filled(backbone, 2) | {"conv1.weight": torch.zeros(64, 3, 7, 7)}
    report = load_backbone_weights(backbone, file)
    assert report.reshaped == ["conv1.weight [64, 3, 7, 7] instead of [16, 3, 3, 3]"]
    assert (report.missing, report.unexpected) == ([], [])
    assert torch.equal(backbone.state_dict()["conv1.weight"], before["conv1.weight"])


def test_load_backbone_weights_refuses_files_of_which_nothing_fits() -> None:
    backbone = BACKBONES.get("res32_cifar")(BackboneOptions())
    message = r"^none of the 2 names in the weights matches the backbone \(conv1.weight, ...\)$"
    with pytest.raises(UserError, match=message):
        load_backbone_weights(backbone, {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.weight": torch.zeros(2)})


def test_load_backbone_weights_takes_the_prefix_with_the_most_names() -> None:
    """MoCo's files hold a query encoder and a key encoder; only the first one in the file is taken."""
    source, backbone = res32(num_classes=4), res32(num_classes=4)
    weights = expert_of(source).backbone.state_dict()
    query = {f"module.encoder_q.{name}": value for name, value in weights.items()}
    key = {f"module.encoder_k.{name}": torch.zeros_like(value) for name, value in weights.items()}
    report = load_backbone_weights(expert_of(backbone).backbone, {**query, **key, "module.queue": torch.zeros(2, 2)})
    assert report.missing == []
    assert same_state(expert_of(backbone).backbone.state_dict(), weights)


@pytest.mark.parametrize("prefix", ["model.", "_orig_mod.module.", "module.model.encoder.", "student.backbone."])
def test_load_backbone_weights_behind_any_prefix(prefix: str) -> None:
    source, backbone = res32(num_classes=4), res32(num_classes=4)
    weights = expert_of(source).backbone.state_dict()
    head = {f"{prefix}fc.weight": torch.zeros(9, 64)}
    report = load_backbone_weights(
        expert_of(backbone).backbone, {**{prefix + name: value for name, value in weights.items()}, **head}
    )
    assert (report.missing, report.unexpected) == ([], ["fc.weight"])
    assert same_state(expert_of(backbone).backbone.state_dict(), weights)
