"""The registry of training methods: the content of each entry."""

from typing import Any

import pytest
from torch import nn

from longtail.config import RELEASED_METHODS, load_config
from longtail.errors import UserError
from longtail.losses import Loss, build_loss
from longtail.methods import METHODS, Method, TrainingData, build_method, method_entry, register
from longtail.methods.registry import nothing
from longtail.stages.checks import check_names
from tests.helpers.methods import KnownData, LinearExperts

DIVE = "TRAIN.COMBINER.DIVE.TEACHER_MODEL"
ENTRIES = {  # takes_partner, needs_momentum, compilable, has a check, files
    "bbn_mixup": (True, False, True, True, ()),
    "contrastive": (False, True, True, True, ()),
    "cutmix": (False, False, True, False, ()),
    "distillation": (False, False, True, True, (DIVE,)),
    "manifold_mixup": (False, False, False, True, ()),
    "mixup": (False, False, True, False, ()),
    "remix": (False, False, True, False, ()),
    "subclass_contrastive": (False, None, True, True, ()),
    "supervised": (True, False, True, False, ()),
}


@pytest.mark.parametrize("name", METHODS_SHIPPED := sorted(ENTRIES))
def test_method_entry(name: str) -> None:
    entry = METHODS.get(name)
    found = (entry.takes_partner, entry.needs_momentum, entry.compilable, entry.check is not nothing, entry.files)
    assert found == ENTRIES[name]


def test_methods_are_the_shipped_ones() -> None:
    assert set(METHODS_SHIPPED) <= set(METHODS)


@pytest.mark.parametrize("name", RELEASED_METHODS)
def test_method_entry_of_released_names(name: str) -> None:
    cfg = load_config(None, ["TRAIN.COMBINER.TYPE", name])
    assert method_entry(cfg) is METHODS.get(cfg.TRAIN.COMBINER.TYPE)


@pytest.mark.parametrize(("name", "nearest"), [("nestd", "nested"), ("mixupp", "mixup"), ("mix_upp", "mix_up")])
def test_method_entry_unknown_name_lists_the_nearest(name: str, nearest: str) -> None:
    cfg = load_config(None, ["TRAIN.COMBINER.TYPE", name])
    message = rf"^unknown training method '{name}'; available: .*supervised.*; did you mean {nearest}\?$"
    with pytest.raises(UserError, match=message):
        method_entry(cfg)


def test_register_and_build_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    built: list[object] = []

    @register("own", check=lambda cfg: built.append("check"), files=("NAME",), compilable=False)
    def build(cfg: object, network: nn.Module, loss: Loss, data: TrainingData) -> Method:
        built.extend([network, loss, data])
        return Method(network, loss)

    cfg = load_config(None, ["TRAIN.COMBINER.TYPE", "own"])
    entry = method_entry(cfg)
    assert (entry.build, entry.files, entry.compilable, entry.takes_partner) == (build, ("NAME",), False, False)
    entry.check(cfg)
    network, loss, data = LinearExperts(1), build_loss(cfg, [2, 1]), KnownData([2, 1])
    assert type(build_method(cfg, network, loss, data)) is Method
    assert built == ["check", network, loss, data]


def test_register_refuses_a_second_method_of_the_same_name() -> None:
    with pytest.raises(ValueError, match="training method 'mixup' is registered twice"):
        register("mixup")(METHODS.get("mixup").build)


MOCO = ["NETWORK.MOCO", True, "DATASET.VIEWS", ["none", "none"]]
BBN = ["TRAIN.SAMPLER.TYPE", "bbn sampler"]
MISFITS = [
    (
        ["TRAIN.COMBINER.TYPE", "contrastive", *MOCO, "NETWORK.MOCO", False],
        r"^NETWORK.MOCO is False; TRAIN.COMBINER.TYPE contrastive needs NETWORK.MOCO True$",
    ),
    (
        ["TRAIN.COMBINER.TYPE", "nested", *MOCO],
        r"^NETWORK.MOCO is True; TRAIN.COMBINER.TYPE supervised needs NETWORK.MOCO False; it is for contrastive, "
        r"subclass_contrastive$",
    ),
    (
        ["TRAIN.COMBINER.TYPE", "mixup", "NETWORK.PROJECTION_DIM", 8],
        r"^NETWORK.PROJECTION_DIM is 8; TRAIN.COMBINER.TYPE mixup needs 0; .* are for subclass_contrastive$",
    ),
    (["TRAIN.COMBINER.TYPE", "contrastive", *MOCO, "DATASET.VIEWS", ["none"]], r"^DATASET.VIEWS has 1 views"),
    (["TRAIN.COMBINER.TYPE", "dive"], rf"^{DIVE} is empty"),
    (["TRAIN.COMBINER.TYPE", "bbn_mix"], r"^TRAIN.SAMPLER.TYPE is 'default'; .* needs 'bbn sampler'"),
    (
        ["TRAIN.COMBINER.TYPE", "mix_up", *BBN],
        r"^TRAIN.SAMPLER.TYPE is 'bbn sampler', .* mixup does not use it; allowed: bbn_mixup, supervised$",
    ),
]


@pytest.mark.parametrize(("overrides", "message"), MISFITS)
def test_check_names_uses_the_method_entry(overrides: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_names(load_config(None, ["DATASET.DATASET", "digits_lt", *overrides]))


@pytest.mark.parametrize(
    "overrides", [["TRAIN.COMBINER.TYPE", "contrastive", *MOCO], BBN, ["TRAIN.COMBINER.TYPE", "bbn_mix", *BBN]]
)
def test_check_names_accepts_methods_with_what_they_need(overrides: list[Any]) -> None:
    check_names(load_config(None, ["DATASET.DATASET", "digits_lt", *overrides]))
