"""Reports of what was loaded."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import LoadReport, build_model, check_depth, check_loaded, load_backbone_weights
from longtail.stages.network import build_network


@pytest.fixture
def network() -> nn.Module:
    """Return a network with a backbone of 60 and a head of 40 parameters, and a batch norm's counter."""
    module = nn.Module()
    module.backbone = nn.Linear(10, 6, bias=False)
    module.norm = nn.BatchNorm1d(3, affine=False)
    module.head = nn.Linear(4, 10, bias=False)
    return module


def test_check_loaded_counts_parameters(network: nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    report = LoadReport(["backbone.weight", "norm.num_batches_tracked"], ["head.weight"], ["fc.weight"])
    with caplog.at_level("INFO"):
        summary = check_loaded("a.pth", network, report, least=0.6)
    assert summary == {
        "file": "a.pth",
        "parameters": 60,
        "share": 0.6,
        "new": 0,
        "of_another_shape": 0,
        "missing_in_the_file": 1,
        "not_used": 1,
    }
    assert [entry.message.removeprefix("weights of a.pth: ") for entry in caplog.records] == [
        "60 of 100 parameters loaded (60.0 %)",
        "1 missing in the file: head.weight",
        "1 not used: fc.weight",
    ]
    assert [entry.levelname for entry in caplog.records] == ["INFO", "WARNING", "WARNING"]


def test_check_loaded_refuses_less(network: nn.Module) -> None:
    report = LoadReport(["backbone.weight"], ["head.weight"], [])
    message = (
        r"^weights of a.pth fill 60.0 % of the network, less than 61 % "
        r"\(missing in the file: head.weight\); .* NETWORK.MIN_LOADED 0 loads whatever fits$"
    )
    with pytest.raises(UserError, match=message):
        check_loaded("a.pth", network, report, least=0.61)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_check_loaded_refuses_values_that_are_not_finite(network: nn.Module, value: float) -> None:
    with torch.no_grad():
        network.get_parameter("head.weight")[3, 1] = value
    check_loaded("a.pth", network, LoadReport(["backbone.weight"], ["head.weight"], []), least=0)
    report = LoadReport(["backbone.weight", "head.weight", "norm.num_batches_tracked"], [], [])
    with pytest.raises(UserError, match=r"^weights of a\.pth are not finite: head\.weight; use another checkpoint$"):
        check_loaded("a.pth", network, report, least=0)


def test_check_loaded_does_not_count_new_heads(network: nn.Module) -> None:
    report = LoadReport(["backbone.weight"], [], [], new=["head.weight"])
    summary = check_loaded("a.pth", network, report, least=1.0)
    assert (summary["share"], summary["new"]) == (1.0, 1)


def test_check_loaded_names_at_most_five(network: nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    unused = [f"layer{number}" for number in range(6)]
    check_loaded("a.pth", network, LoadReport([], [], unused), least=0)
    assert caplog.messages[-1] == "weights of a.pth: 6 not used: layer0, layer1, layer2, layer3, layer4, ..."


# Depth


def backbone_of(name: str) -> nn.Module:
    network: Any = build_model(load_config(None, ["BACKBONE.TYPE", name]), 10)
    backbone: nn.Module = network.experts[0].backbone
    return backbone


@pytest.fixture(scope="module")
def res50() -> nn.Module:
    return backbone_of("res50")


@pytest.mark.parametrize("prefix", ["", "module.encoder_q."])
def test_check_depth_refuses_weights_of_a_deeper_backbone(res50: nn.Module, prefix: str) -> None:
    weights = {f"{prefix}{name}": value for name, value in backbone_of("res152").state_dict().items()}
    report = load_backbone_weights(res50, {**weights, "fc.weight": torch.zeros(10, 2048)})
    message = r"^weights of a\.pth have 34 blocks that the backbone lacks \(layer2\.4, layer2\.5, .*BACKBONE\.TYPE"
    with pytest.raises(UserError, match=message):
        check_depth("a.pth", res50, report)


@pytest.mark.parametrize(
    "others",
    [
        ["fc.weight", "fc.0.weight", "fc.2.weight"],
        ["head.mlp.0.weight", "decoder_blocks.0.attn.qkv.weight"],
        [f"module.encoder_k.layer{stage}.{block}.conv1.weight" for stage in (1, 2, 3, 4) for block in range(3)],
        ["experts.1.backbone.layer3.5.conv1.weight", "backbone_MA.0.layer1.0.conv1.weight", "classifier.1.weight"],
        ["projection.0.weight", "queue"],
    ],
)
def test_check_depth_takes_heads_momentum_encoders_and_other_experts(res50: nn.Module, others: list[str]) -> None:
    prefix = "module.encoder_q." if others[0].startswith("module.") else ""
    weights = {f"{prefix}{name}": value for name, value in res50.state_dict().items()}
    report = load_backbone_weights(res50, {**weights, **{name: torch.zeros(2) for name in others}})
    assert report.unexpected
    check_depth("a.pth", res50, report)


def test_training_on_places_uses_all_of_the_weights_of_a_resnet_152(tmp_path: Path) -> None:
    file = tmp_path / "resnet152.pth"
    torch.save(backbone_of("res152").state_dict(), file)
    pretrained = ["BACKBONE.PRETRAINED_MODEL", str(file)]
    (report,) = build_network(load_config("places_lt,balanced_softmax", pretrained), 10)[1]
    assert (report["share"], report["not_used"]) == (1.0, 0)
    with pytest.raises(UserError, match=r"resnet152\.pth have 34 blocks that the backbone lacks"):
        build_network(load_config("places_lt,ce_r50", pretrained), 10)
    (report,) = build_network(load_config("places_lt,ce_r50", [*pretrained, "NETWORK.MIN_LOADED", 0]), 10)[1]
    assert report["not_used"] > 0
