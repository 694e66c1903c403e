"""LDAM: margins by class size."""

import pytest
import torch

from longtail.config import load_config
from longtail.losses import LDAM, build_loss
from longtail.losses.ldam import margins
from tests.helpers.golden import Case, record, relative_error, tensor
from tests.helpers.losses import COUNTS, LOGITS, TARGETS, C, build, grad, nll, rows_of, value
from tests.helpers.worked_example import example_loss, example_value

CASES = [case for case in record("sbcl_stage2")["cases"] if case["kind"] == "ldam"]


def test_ldam_matches_loop() -> None:
    losses = []
    for row, y in zip(rows_of(LOGITS), TARGETS.tolist(), strict=True):
        margin = 0.5 * (min(COUNTS) / COUNTS[y]) ** 0.25
        losses.append(nll([30 * (z - margin * (c == y)) for c, z in enumerate(row)], y))
    assert value("LDAMLoss").item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_ldam_worked_example() -> None:
    assert example_value("LDAMLoss") == pytest.approx(55.786110, rel=1e-6)
    loss = example_loss("LDAMLoss")
    assert isinstance(loss, LDAM)
    assert loss.margin.tolist() == pytest.approx([0.236435, 0.297302, 0.353553, 0.420448, 0.5], abs=1e-6)


def test_ldam_classes_of_equal_size_have_equal_margins() -> None:
    loss = build("LDAMLoss", counts=[9] * C)
    assert isinstance(loss, LDAM)
    torch.testing.assert_close(loss.margin, torch.full((C,), 0.5))


def test_ldam_golden_cases_are_complete() -> None:
    assert len(CASES) == 5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_ldam_matches_golden(case: Case) -> None:
    logits, targets, gradient, margin = (
        tensor("sbcl_stage2", f"{case['id']}.{name}") for name in ("logits", "targets", "grad", "margins")
    )
    assert margins(case["class_counts"], case["max_m"]).tolist() == pytest.approx(margin.tolist(), rel=1e-5)
    weighted = case["class_weights"] != "none"
    start = 1 if weighted else None
    loss = LDAM(case["class_counts"], case["scale"], max_margin=case["max_m"], start_epoch=start)
    loss.set_epoch(1)  # weighted from the first epoch on: the release defers nothing
    logits = logits.clone().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    assert value.item() == pytest.approx(case["loss"], rel=1e-5)
    assert relative_error(grad(logits), gradient) < 1e-5


def test_weights_of_the_second_stage_of_sbcl_act_from_its_first_epoch_on() -> None:
    counts = [50, 20, 10, 5]
    loss = build_loss(load_config("cifar10_im100,sbcl_ldam"), counts)
    logits, targets = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 0, 1, 2, 3])
    values = []
    for epoch in (1, 200):
        loss.set_epoch(epoch)
        values.append(loss(logits, targets))
    plain = LDAM(counts)
    plain.set_epoch(1)
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], plain(logits, targets))
