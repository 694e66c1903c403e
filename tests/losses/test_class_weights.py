"""Class weights by switch or by name, in every loss that takes them."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses import LOSSES, Loss, build_loss
from longtail.losses.class_weights import configured_weights
from tests.helpers.losses import COUNTS, FEATURES, LOGITS, SEQL, TARGETS, TEACHER, C, build, nll, rows_of, value

KEYS = "LOSS.CLASS_WEIGHTS"
INVERSE, EFFECTIVE = [f"{KEYS}.TYPE", "inverse"], [f"{KEYS}.TYPE", "effective"]
NAMES = ["ant", "bee", "fly", "gnat", "wasp"]
TAKEN = [name for name in LOSSES if build(name).takes_class_weights]
DRW = ["TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 3]


def weights_of(*overrides: Any, names: list[str] = NAMES) -> Tensor | None:
    return configured_weights(load_config(None, overrides), COUNTS, names)


def batch_value(loss: Loss, logits: Tensor = LOGITS, targets: Tensor = TARGETS) -> Tensor:
    result: Tensor = loss(logits, targets, FEATURES, TEACHER if loss.needs_teacher else None)
    return result


def test_class_weights_are_taken_by_every_cross_entropy_without_its_own() -> None:
    assert set(TAKEN) == {
        *("BalancedSoftmaxCE", "CDT", "CrossEntropy", "CrossEntropyLabelAwareSmooth", "CrossEntropyLabelSmooth"),
        *("DiVEKLD", "DifficultyMargin", "FocalLoss", "LDAMLoss", "LogitAdjustment", "SEQL", "VectorScaling"),
    }


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_inverse_weights_match_loop(power: float) -> None:
    weights = weights_of(*INVERSE, f"{KEYS}.POWER", power)
    assert weights is not None
    raw = [n**-power for n in COUNTS]
    assert weights.tolist() == pytest.approx([w * C / sum(raw) for w in raw], rel=1e-9)
    assert float(weights.mean()) == pytest.approx(1)


@pytest.mark.parametrize("beta", [0.0, 0.9, 1.0])
def test_effective_weights_match_loop(beta: float) -> None:
    weights = weights_of(*EFFECTIVE, f"{KEYS}.BETA", beta)
    assert weights is not None
    raw = [1 / sum(beta**power for power in range(n)) for n in COUNTS]
    assert weights.tolist() == pytest.approx([w * C / sum(raw) for w in raw], rel=1e-9)


def test_no_switch_means_no_weights() -> None:
    assert weights_of() is None
    assert build("CrossEntropy").class_weights is None


@pytest.mark.parametrize("given", [{"bee": 3, "wasp": 0.5}, ["bee=3", "wasp = 0.5"], "[bee=3,wasp=0.5]"])
def test_weights_by_name_are_factors(given: Any) -> None:
    alone, both = weights_of(f"{KEYS}.NAMES", given), weights_of(*INVERSE, f"{KEYS}.NAMES", given)
    assert alone is not None and both is not None
    factors = [1, 3, 1, 1, 0.5]
    assert alone.tolist() == pytest.approx([factor * C / sum(factors) for factor in factors])
    raw = [factor / n for factor, n in zip(factors, COUNTS, strict=True)]
    assert both.tolist() == pytest.approx([w * C / sum(raw) for w in raw])


def test_classes_without_names_are_named_by_number() -> None:
    weights = weights_of(f"{KEYS}.NAMES", {4: 6.0}, names=[])
    assert weights is not None
    assert weights.tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5, 3.0])


def test_names_with_an_equals_sign_are_taken() -> None:
    weights = weights_of(f"{KEYS}.NAMES", ["a=b=2"], names=["a=b", "b", "c", "d", "e"])
    assert weights is not None
    assert float(weights[0] / weights[1]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["bea=2"], r"^LOSS.CLASS_WEIGHTS.NAMES names 'bea', which is not a class; did you mean bee\?$"),
        (["bee"], r"^LOSS.CLASS_WEIGHTS.NAMES has 'bee'; it must be name=weight, with a weight above 0$"),
        (["bee=much"], "has 'bee=much'; it must be name=weight"),
        (["bee=0"], "has 'bee=0'; it must be name=weight"),
        (["bee=-1"], "with a weight above 0"),
        (["bee=inf"], "with a weight above 0"),
        (["bee=2", "bee=3"], "names 'bee' twice; it must be one weight of one class"),
    ],
)
def test_wrong_names_and_weights_are_refused(items: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        weights_of(f"{KEYS}.NAMES", items)


def test_name_of_two_classes_is_refused() -> None:
    with pytest.raises(UserError, match="names 'b', which is the name of 2 classes; it must"):
        weights_of(f"{KEYS}.NAMES", ["b=2"], names=["a", "b", "b", "c", "d"])


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in TAKEN])
def test_losses_with_weights_of_their_own_refuse_class_weights(name: str) -> None:
    with pytest.raises(
        UserError, match=rf"^LOSS.CLASS_WEIGHTS is set, but LOSS.LOSS_TYPE {name} does not take class weights"
    ):
        build(name, *INVERSE)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [("LDAMLoss", DRW), ("FocalLoss", DRW), ("VectorScaling", ["LOSS.VectorScaling.WEIGHT_POWER", 0.25])],
)
def test_losses_that_weigh_by_an_option_refuse_class_weights(name: str, overrides: list[Any]) -> None:
    with pytest.raises(UserError, match=r"^LOSS.CLASS_WEIGHTS is set, but"):
        build(name, *INVERSE, *overrides)


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_inverse_weights_in_cross_entropy_are_the_cost_sensitive_loss(gamma: float) -> None:
    own = value("CostSensitiveCE", "LOSS.CostSensitiveCE.GAMMA", gamma)
    torch.testing.assert_close(value("CrossEntropy", *INVERSE, f"{KEYS}.POWER", gamma), own)


def test_effective_weights_are_the_class_balanced_losses() -> None:
    beta = [f"{KEYS}.BETA", 0.99]
    own = value("ClassBalanceCE", "LOSS.ClassBalanceCE.BETA", 0.99)
    torch.testing.assert_close(value("CrossEntropy", *EFFECTIVE, *beta), own)
    focal = value("ClassBalanceFocal", "LOSS.ClassBalanceFocal.BETA", 0.99, "LOSS.ClassBalanceFocal.GAMMA", 2.0)
    torch.testing.assert_close(value("FocalLoss", *EFFECTIVE, *beta), focal)


@pytest.mark.parametrize("name", TAKEN)
def test_class_weights_weigh_the_samples_of_a_class(name: str) -> None:
    """Row by row: of every loss, the weighted mean of what it gives for each sample alone."""
    plain, weighted = build(name, *SEQL), build(name, *SEQL, *INVERSE)
    class_weights = getattr(weighted, "base", weighted).class_weights  # DiVE: of the loss on the labels
    assert isinstance(class_weights, Tensor)
    weights = class_weights.double()[TARGETS]
    if name == "DiVEKLD":  # the part on the labels
        plain.eval(), weighted.eval()
    rows = torch.stack([plain(LOGITS[[i]], TARGETS[[i]], FEATURES[[i]]) for i in range(len(TARGETS))])
    norm = len(TARGETS) if name == "FocalLoss" else weights.sum()
    torch.testing.assert_close(weighted(LOGITS, TARGETS, FEATURES), (weights * rows).sum() / norm)


def test_weighted_label_smoothing_weighs_the_whole_loss_of_a_sample() -> None:
    """PyTorch would weigh the smoothed part by the weights of all classes."""
    epsilon, weights = 0.1, weights_of(*INVERSE)
    assert weights is not None
    total = norm = 0.0
    for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True):
        spread = sum(nll(row, k) for k in range(C)) / C
        total += float(weights[y]) * ((1 - epsilon) * nll(row, y) + epsilon * spread)
        norm += float(weights[y])
    found = value("CrossEntropyLabelSmooth", *INVERSE)
    assert found.item() == pytest.approx(total / norm, rel=1e-5)
    torchs = F.cross_entropy(LOGITS, TARGETS, weights, label_smoothing=epsilon)
    assert found.item() != pytest.approx(torchs.item(), rel=1e-3)


@pytest.mark.parametrize("name", [name for name in TAKEN if name not in ("LDAMLoss", "FocalLoss")])
def test_class_weights_are_deferred(name: str) -> None:
    loss, plain = build(name, *SEQL, *INVERSE, *DRW), build(name, *SEQL, *DRW)
    same = {}
    for epoch in (1, 3, 4, 5):
        loss.set_epoch(epoch)
        plain.set_epoch(epoch)
        same[epoch] = torch.equal(batch_value(loss), batch_value(plain))
    assert same == {1: True, 3: True, 4: False, 5: False}


def test_class_weights_follow_the_module_and_are_not_saved() -> None:
    loss = build("BalancedSoftmaxCE", *INVERSE)
    assert loss.state_dict() == {}
    moved = loss.to("meta").class_weights
    assert moved is not None and moved.device.type == "meta"


def test_build_loss_takes_class_names() -> None:
    cfg = load_config(None, [f"{KEYS}.NAMES", {"wasp": 4.0}])
    loss = build_loss(cfg, COUNTS, NAMES)
    assert loss.class_weights is not None
    assert loss.class_weights.tolist() == pytest.approx([0.625, 0.625, 0.625, 0.625, 2.5])
