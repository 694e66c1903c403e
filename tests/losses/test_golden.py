"""Values and gradients of all losses of NCL, NCL++ and Bag of Tricks."""

import pytest

from longtail.config import load_config
from longtail.losses import build_loss
from tests.helpers.golden import Case, has_tensor, record, relative_error, tensor
from tests.helpers.losses import grad

NESTED, SINGLE, DISTILLATION = "nested_losses", "bag_of_tricks_losses", "dive_losses"
CASES = [(name, case) for name in (NESTED, SINGLE, DISTILLATION) for case in record(name)["cases"]]


def test_golden_cases_are_complete() -> None:
    assert [sum(name == recorded for recorded, _ in CASES) for name in (NESTED, SINGLE, DISTILLATION)] == [40, 86, 4]
    kinds = [case["options"][1] for name, case in CASES if name == NESTED]
    assert (kinds.count("NIL_NBOD"), kinds.count("NIL_NBOD_plus")) == (20, 20)
    plus = {(case["experts"], case["views"]) for _, case in CASES if case["options"][1] == "NIL_NBOD_plus"}
    assert plus == {(1, 2), (2, 3), (2, 4), (3, 2)}


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, case, id=f"{name}-{case['id']}-{case['options'][1]}") for name, case in CASES],
)
def test_build_loss_matches_golden_value_and_gradient(name: str, case: Case) -> None:
    loss = build_loss(load_config(None, case["options"]), case["class_counts"])
    loss.set_epoch(case.get("epoch", 1))
    logits = tensor(name, f"{case['id']}.logits").clone().requires_grad_()
    further = {
        key: tensor(name, f"{case['id']}.{key}")
        for key in ("features", "teacher_logits")
        if has_tensor(name, f"{case['id']}.{key}")
    }
    value = loss(logits, tensor(name, f"{case['id']}.targets").long(), **further)
    value.backward()
    assert value.item() == pytest.approx(case["loss"], rel=1e-5)
    assert relative_error(grad(logits), tensor(name, f"{case['id']}.grad")) < 1e-5
