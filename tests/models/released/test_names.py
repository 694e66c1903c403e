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
SBCL = {
    "encoder.layer1.0.conv1.weight": "experts.0.backbone.layer1.0.conv1.weight",
    "head.2.bias": "experts.0.projection.2.bias",
    "encoder.linear.weight": None,
}
SBCL_MOCO = {
    "encoder_q.layer1.0.conv1.weight": "experts.0.backbone.layer1.0.conv1.weight",
    "encoder_q.fc.0.weight": "experts.0.projection.0.weight",
    "encoder_k.conv1.weight": None,
    "queue": None,
}
OWN = {
    name: name for name in ("experts.0.backbone.conv1.weight", "experts.1.head.bias", "experts.0.projection.0.weight")
}


@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
@pytest.mark.parametrize("names", [NCL, NCL_MOCO, BAG_OF_TRICKS, SBCL, SBCL_MOCO, OWN])
def test_own_names(names: dict[str, str | None], prefix: str) -> None:
    assert own_names(prefix + name for name in names) == {prefix + name: own for name, own in names.items()}


def test_own_names_of_unknown_files() -> None:
    assert own_names(["fc.weight", "conv1.weight"]) == {"fc.weight": None, "conv1.weight": None}


def test_name_table_patterns_are_tried_in_order() -> None:
    table = NameTable("x", r"a\.", ((r"a\.(b.*)", r"first.\1"), (r"a\.(.*)", r"second.\1")))
    assert (table.own("a.b1"), table.own("a.c"), table.own("b.c")) == ("first.b1", "second.c", None)
    assert table.recognizes("a.x") and not table.recognizes("b.a.x")


def test_tables_name_their_systems() -> None:
    assert {"NCL", "NCL with the MoCo branch", "Bag of Tricks", "SBCL", "SBCL with a queue"} <= {
        table.system for table in TABLES
    }
