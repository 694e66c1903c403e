"""Tables of released parameter names."""

import pytest

from longtail.models.released import TABLES, own_names
from longtail.models.released.names import NameTable

NCL = {
    "backbone.2.layer1.0.conv1.weight": "experts.2.backbone.layer1.0.conv1.weight",
    "classifier.0.bias": "experts.0.head.bias",
    "optimizer.lr": None,
}
NCL_MOCO = {
    "backbone.1.conv1.weight": "experts.1.backbone.conv1.weight",
    "classifier.1.0.weight": "experts.1.projection.0.weight",
    "classifier_ce.1.weight": "experts.1.head.weight",
    "backbone_MA.1.conv1.weight": None,
    "MOCO.0.queue": None,
}
BAG_OF_TRICKS = {
    "backbone.layer1.0.conv1.weight": "experts.0.backbone.layer1.0.conv1.weight",
    "classifier.weight": "experts.0.head.weight",
    "classifier.fc.bias": "experts.0.head.fc.bias",
    "fc.weight": None,
}
OWN = {
    name: name for name in ("experts.0.backbone.conv1.weight", "experts.1.head.bias", "experts.0.projection.0.weight")
}


@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
@pytest.mark.parametrize("names", [NCL, NCL_MOCO, BAG_OF_TRICKS, OWN], ids=["ncl", "moco", "bag_of_tricks", "own"])
def test_own_names(names: dict[str, str | None], prefix: str) -> None:
    assert own_names(prefix + name for name in names) == {prefix + name: own for name, own in names.items()}


def test_own_names_of_unknown_files() -> None:
    assert own_names(["fc.weight", "conv1.weight"]) == {"fc.weight": None, "conv1.weight": None}


def test_name_table_patterns_are_tried_in_order() -> None:
    table = NameTable("x", r"a\.", ((r"a\.(b.*)", r"first.\1"), (r"a\.(.*)", r"second.\1")))
    assert (table.own("a.b1"), table.own("a.c"), table.own("b.c")) == ("first.b1", "second.c", None)
    assert table.recognizes("a.x") and not table.recognizes("b.a.x")


def test_tables_name_their_systems() -> None:
    assert {"NCL", "NCL with the MoCo branch", "Bag of Tricks"} <= {table.system for table in TABLES}
