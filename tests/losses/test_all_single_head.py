"""Properties of every loss of one head: invariances, extreme inputs, precision, deferral, state."""

from typing import Any

import pytest
import torch

from longtail.losses import Prediction, total
from tests.helpers.losses import (
    FEATURES,
    LOGITS,
    SEQL,
    SINGLE_HEAD,
    TARGETS,
    TEACHER,
    C,
    D,
    build,
    grad,
    value,
)

SIGMOID = {"FocalLoss", "ClassBalanceFocal"}
SCALED = {"CDT", "VectorScaling", "DifficultyMargin"}  # a factor per class, or angles
NEVER_WEIGHTED = {"CrossEntropy", "CrossEntropyLabelSmooth", "CrossEntropyLabelAwareSmooth", "SEQL"}


def test_single_head_losses_are_the_documented_ones() -> None:
    assert set(SINGLE_HEAD) == {
        "BalancedSoftmaxCE",
        "CDT",
        "ClassBalanceCE",
        "ClassBalanceFocal",
        "CostSensitiveCE",
        "CrossEntropy",
        "CrossEntropyLabelAwareSmooth",
        "CrossEntropyLabelSmooth",
        "DiVEKLD",
        "DifficultyMargin",
        "FocalLoss",
        "InfluenceBalancedLoss",
        "LDAMLoss",
        "LogitAdjustment",
        "SEQL",
        "VectorScaling",
    }


@pytest.mark.parametrize("name", SINGLE_HEAD)
def test_order_of_samples_does_not_matter(name: str) -> None:
    order = torch.tensor([5, 1, 4, 2, 0, 3])
    logits, targets, features, teacher = (rows[order] for rows in (LOGITS, TARGETS, FEATURES, TEACHER))
    moved = value(name, *SEQL, logits=logits, targets=targets, features=features, teacher=teacher)
    torch.testing.assert_close(moved, value(name, *SEQL))


@pytest.mark.parametrize("name", sorted({*SINGLE_HEAD} - SIGMOID - SCALED))
def test_constant_added_to_the_logits_of_a_sample_does_not_matter(name: str) -> None:
    shifted = value(name, *SEQL, logits=LOGITS + torch.arange(6.0)[:, None])
    torch.testing.assert_close(shifted, value(name, *SEQL), rtol=1e-5, atol=1e-6)


PLAIN: dict[str, tuple[Any, ...]] = {
    "FocalLoss": ("FocalLoss",),
    "ClassBalanceFocal": ("FocalLoss", "LOSS.FocalLoss.GAMMA", 0.5),
    "CrossEntropyLabelSmooth": ("CrossEntropyLabelSmooth",),
    "CrossEntropyLabelAwareSmooth": ("CrossEntropyLabelSmooth",),
}


@pytest.mark.parametrize("name", sorted({*SINGLE_HEAD} - {"LDAMLoss", "SEQL", "DifficultyMargin"}))
def test_classes_of_equal_size_give_the_plain_loss(name: str) -> None:
    equal = value(name, counts=[9] * C)
    assert equal.isfinite()
    if name not in ("InfluenceBalancedLoss", "DiVEKLD"):
        torch.testing.assert_close(equal, value(*PLAIN.get(name, ("CrossEntropy",)), counts=[9] * C))


@pytest.mark.parametrize("name", SINGLE_HEAD)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_extreme_logits_give_finite_values_and_gradients(name: str, kind: torch.dtype, autocast: bool) -> None:
    random = torch.Generator().manual_seed(0)
    signs, others = (torch.randint(-1, 2, (16, C), generator=random) for _ in range(2))
    logits, features = (signs * 1e4).to(kind).requires_grad_(), torch.ones(16, D, dtype=kind).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = build(name)(logits, torch.arange(16) % C, features, (others * 1e4).to(kind))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite() and loss > 0
    assert grad(logits).dtype == kind and grad(logits).isfinite().all()
    assert features.grad is None or features.grad.isfinite().all()


@pytest.mark.parametrize("name", SINGLE_HEAD)
def test_half_precision_logits_are_computed_in_float32(name: str) -> None:
    half = [values.bfloat16() for values in (LOGITS, FEATURES, TEACHER)]
    results = []
    for kind in (torch.bfloat16, torch.float32):
        logits, features, teacher = (values.to(kind) for values in half)
        results.append(value(name, *SEQL, logits=logits, features=features, teacher=teacher))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


@pytest.mark.parametrize("name", SINGLE_HEAD)
def test_deferral_switches_after_the_released_epoch_and_back(name: str) -> None:
    start = 3
    loss = build(name, *SEQL, "TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", start)
    values: dict[int, float] = {}
    for epoch in (1, 2, 3, 4, 5, 1):
        loss.set_epoch(epoch)
        new = loss(LOGITS, TARGETS, FEATURES, TEACHER).item()
        assert values.setdefault(epoch, new) == new
    first = start if name == "LDAMLoss" else start + 1
    changed = [epoch for epoch in values if values[epoch] != values[1]]
    assert changed == ([] if name in NEVER_WEIGHTED else list(range(first, 6)))
    always = value(name, *SEQL).item()
    assert (values[5] == always) == (name not in ("LDAMLoss", "FocalLoss"))  # these are weighted by deferral only


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [name for name in SINGLE_HEAD if build(name).weighs_rows])
def test_row_weights_are_factors_of_the_losses_of_the_samples(name: str, weighted: bool) -> None:
    """sum_i a_i w_i l_i / sum_i w_i; the focal losses are divided by the number of samples."""
    inverse = ["LOSS.CLASS_WEIGHTS.TYPE", "inverse"] if weighted and build(name).takes_class_weights else []
    loss = build(name, *SEQL, *inverse)
    alone = torch.stack([loss(LOGITS[[i]], TARGETS[[i]], FEATURES[[i]]) for i in range(len(TARGETS))])
    classes = torch.ones(C) if loss.class_weights is None or name in SIGMOID else loss.class_weights
    rows = torch.tensor([2.0, 0.0, 1.0, 0.5, 3.0, 0.25], dtype=torch.float64)
    found = total(loss.terms(Prediction(LOGITS, TARGETS, FEATURES, row_weights=rows)).values())
    weights = classes.double()[TARGETS]
    torch.testing.assert_close(found, (rows * weights * alone).sum() / weights.sum())


@pytest.mark.parametrize("name", [*SINGLE_HEAD, "NIL_NBOD", "NIL_NBOD_plus"])
def test_buffers_follow_the_module_and_are_not_saved(name: str) -> None:
    loss = build(name)
    assert loss.state_dict() == {}
    assert all(buffer.device.type == "meta" for buffer in loss.to("meta").buffers())
