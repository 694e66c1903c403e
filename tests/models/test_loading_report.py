"""Reports of what was loaded."""

import pytest
import torch
from torch import nn

from longtail.errors import UserError
from longtail.models import LoadReport, check_loaded


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
