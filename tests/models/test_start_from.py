"""Starting from the weights of an earlier training: which heads are loaded, and what is frozen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import LoadReport, Network, load_released_weights, start_from
from longtail.stages.network import build_network
from tests.helpers.networks import expert_of, res32, same_state, snapshot

C = 4
HEAD = ["experts.0.head.weight", "experts.0.head.bias"]
Names = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def network(head: str, *overrides: Any, num_classes: int = C) -> Network:
    return res32("CLASSIFIER.TYPE", head, *overrides, num_classes=num_classes)


def numbered(model: Network) -> dict[str, Tensor]:
    """Return weights of an earlier training, each tensor full of one number."""
    return {name: torch.full_like(value, n % 7 + 2) for n, (name, value) in enumerate(model.state_dict().items())}


def own(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(weights)


def as_released(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the same under the names of Bag of Tricks."""
    return {
        f"module.{name.replace('experts.0.head', 'classifier').replace('experts.0.', '')}": value
        for name, value in weights.items()
    }


FIRST = numbered(network("FC"))
naming = pytest.mark.parametrize("names", [own, as_released], ids=["own", "released"])


def taken(model: Network, weights: dict[str, Tensor]) -> set[str]:
    """Return which parts of a network are equal to those of a file."""
    parts: dict[str, bool] = {}
    for name, value in model.state_dict().items():
        part = name.split(".")[2]
        parts[part] = parts.get(part, True) and name in weights and torch.equal(value, weights[name])
    return {part for part, equal in parts.items() if equal}


# Kinds of heads


@naming
@pytest.mark.parametrize("kinds", [None, ["FC"]])
def test_start_from_the_same_head_takes_everything(names: Names, kinds: list[str] | None) -> None:
    model = network("FC")
    report = start_from(model, names(FIRST), head_kinds=kinds)
    assert (report.missing, report.unexpected, report.new) == ([], [], [])
    assert same_state(model.state_dict(), FIRST)


@naming
@pytest.mark.parametrize("kinds", [None, ["FC"]])
def test_start_from_another_head_keeps_the_new_one(names: Names, kinds: list[str] | None) -> None:
    """The parameters of FC and FCNorm differ by a bias."""
    model = network("FCNorm")
    before = snapshot(model)
    report = start_from(model, names(FIRST), head_kinds=kinds)
    assert (report.missing, report.unexpected, report.new) == ([], [], ["experts.0.head.weight"])
    assert taken(model, FIRST) == {"backbone"}
    assert torch.equal(model.state_dict()["experts.0.head.weight"], before["experts.0.head.weight"])


def test_start_from_head_kinds_tell_heads_with_equal_parameters_apart() -> None:
    """FC and cos have parameters of the same names and shapes."""
    model = network("cos")
    assert start_from(model, FIRST, head_kinds=["FC"]).new == HEAD
    assert taken(model, FIRST) == {"backbone"}
    assert start_from(model, FIRST).new == []  # without the kinds the file looks the same
    assert taken(model, FIRST) == {"backbone", "head"}


def test_start_from_head_kinds_of_fewer_experts() -> None:
    two = res32(experts=2, num_classes=C)
    report = start_from(two, FIRST, head_kinds=["FC"])
    assert report.new == [name.replace("0", "1") for name in HEAD]
    assert all(name.startswith("experts.1.backbone") for name in report.missing)


@pytest.mark.parametrize("head", ["FC", "FCNorm", "cRT", "LWS"])
def test_start_from_backbone_only(head: str) -> None:
    model = network(head)
    before = snapshot(model)
    report = start_from(model, FIRST, backbone_only=True)
    heads = [name for name in before if ".head." in name]
    assert (report.missing, report.unexpected, report.new) == ([], [], heads)
    assert taken(model, FIRST) == {"backbone"}
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in heads)


@naming
@pytest.mark.parametrize("backbone_only", [True, False])
@pytest.mark.parametrize("kinds", [None, ["FC"]])
def test_start_from_other_classes_keeps_the_new_head(
    names: Names, backbone_only: bool, kinds: list[str] | None
) -> None:
    other = network("FC", num_classes=C + 3)
    before = snapshot(other)
    report = start_from(other, names(FIRST), head_kinds=kinds, backbone_only=backbone_only)
    assert (report.missing, report.unexpected, report.new) == ([], [], HEAD)
    assert taken(other, FIRST) == {"backbone"}
    assert all(torch.equal(other.state_dict()[name], before[name]) for name in HEAD)


def test_start_from_a_file_without_heads_reports_them_as_missing() -> None:
    model = network("FC")
    report = start_from(model, {name: value for name, value in FIRST.items() if "head" not in name})
    assert (report.missing, report.new) == (HEAD, [])


@pytest.mark.parametrize(
    ("head", "overrides", "parts"),
    [
        ("FC", [], {"backbone", "head"}),
        ("FCNorm", [], {"backbone"}),
        ("cos", [], {"backbone"}),
        ("FC", ["NETWORK.LOAD_BACKBONE_ONLY", True], {"backbone"}),
    ],
)
def test_build_network_from_a_checkpoint_with_head_kinds(
    head: str, overrides: list[Any], parts: set[str], tmp_path: Path
) -> None:
    path = tmp_path / "first.pth"
    torch.save({"model": FIRST, "heads": ["FC"]}, path)
    keys = ["BACKBONE.TYPE", "res32_cifar", "NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(path)]
    model, (report,) = build_network(load_config(None, [*keys, "CLASSIFIER.TYPE", head, *overrides]), C)
    assert taken(model, FIRST) == parts
    assert report["share"] == 1.0
    assert (report["new"] == 0) == ("head" in parts)


def test_build_network_refuses_the_heads_of_other_classes(tmp_path: Path) -> None:
    path, names = tmp_path / "first.pth", [f"c{label}" for label in range(C)]
    torch.save({"model": FIRST, "heads": ["FC"], "class_names": names}, path)
    keys = ["BACKBONE.TYPE", "res32_cifar", "NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(path)]
    other = [*names[:-1], "zz"]
    message = (
        rf"^.*first\.pth was trained on other classes: class {C - 1} is 'c{C - 1}' there, here 'zz'; NETWORK.LOAD_"
    )
    with pytest.raises(UserError, match=message):
        build_network(load_config(None, keys), C, other)
    for cfg, given in ((keys, names), (keys, []), ([*keys, "NETWORK.LOAD_BACKBONE_ONLY", True], other)):
        assert build_network(load_config(None, cfg), C, given)[1][0]["share"] == 1.0


# Heads of a second stage


@naming
def test_start_from_retrained_head_starts_from_scratch(names: Names) -> None:
    model = network("cRT")
    before = snapshot(model)
    report = start_from(model, names(FIRST))
    assert (report.missing, report.unexpected, report.new) == ([], [], HEAD)
    assert taken(model, FIRST) == {"backbone"}
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in HEAD)


@naming
@pytest.mark.parametrize("load", [start_from, load_released_weights])
def test_start_from_scaled_head_takes_the_linear_head(names: Names, load: Callable[..., LoadReport]) -> None:
    model = network("LWS")
    report = load(model, names(FIRST))
    head = expert_of(model).head
    assert torch.equal(head.fc.weight, FIRST["experts.0.head.weight"])
    assert torch.equal(head.fc.bias, FIRST["experts.0.head.bias"])
    assert torch.equal(head.scales, torch.ones(C))
    assert report.unexpected == []
    scales = ["experts.0.head.scales"]
    assert (report.missing, report.new) == (([], scales) if load is start_from else (scales, []))


@naming
@pytest.mark.parametrize("head", ["cRT", "LWS"])
def test_load_released_weights_of_a_second_stage(head: str, names: Names) -> None:
    second = numbered(network(head))
    model = network(head)
    report = load_released_weights(model, names(second))
    assert (report.missing, report.unexpected) == ([], [])
    assert same_state(model.state_dict(), second)
    if head == "LWS":
        assert {"module.classifier.fc.weight", "module.classifier.scales"} <= set(as_released(second))


def test_start_from_other_classes_fits_retrained_heads_only() -> None:
    other = network("FC", num_classes=C + 3).state_dict()
    start_from(network("cRT"), other)
    with pytest.raises(UserError, match=r"weights do not fit: experts\.0\.head\.weight is \[7, 64\]"):
        start_from(network("LWS"), other)


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_start_from_scaled_head_needs_a_linear_head(part: str) -> None:
    """Without any head the weight is missing, without a bias the bias."""
    weights = {name: value for name, value in FIRST.items() if "head" not in name}
    if part == "bias":
        weights |= {"experts.0.head.weight": FIRST["experts.0.head.weight"]}
    message = rf"no linear head from which the network's experts\.0\.head\.fc\.{part}"
    with pytest.raises(UserError, match=message):
        start_from(network("LWS"), weights)
    if part == "bias":
        start_from(network("LWS", "CLASSIFIER.BIAS", False), weights)


@pytest.mark.parametrize(("head", "parts"), [("cRT", ["weight", "bias"]), ("LWS", ["scales"])])
def test_second_stage_trains_the_head_only(head: str, parts: list[str]) -> None:
    trained = [name for name, parameter in network(head).named_parameters() if parameter.requires_grad]
    assert trained == [f"experts.0.head.{part}" for part in parts]


@pytest.mark.parametrize(("statistics", "frozen"), [("still", True), ("moving", False)])
def test_second_stage_normalizes_by_stored_statistics_or_by_the_batch(statistics: str, frozen: bool) -> None:
    model = network("cRT", "BACKBONE.FROZEN_STATISTICS", statistics)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.eval()
        evaluated = model(images).features
        model.train()
        assert model.training and expert_of(model).head.training
        assert torch.equal(model(images).features, evaluated) == frozen
    assert all(module.training is not frozen for module in expert_of(model).backbone.modules())
