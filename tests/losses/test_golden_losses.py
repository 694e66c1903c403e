"""Values and gradients of the releases."""

import pytest
from golden_records import has_tensor, record, relative_error, tensor

from longtail.config import load_config
from longtail.losses import build_loss

NESTED, SINGLE, DISTILLATION = "nested_losses", "bag_of_tricks_losses", "dive_losses"
CASES = [
    *((NESTED, case) for case in record(NESTED)["cases"] if case["options"][1] == "NIL_NBOD"),
    *((SINGLE, case) for case in record(SINGLE)["cases"]),
    *((DISTILLATION, case) for case in record(DISTILLATION)["cases"]),
]
assert [sum(name == one for one, _ in CASES) for name in (NESTED, SINGLE, DISTILLATION)] == [20, 86, 4]


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, case, id=f"{name}-{case['id']}-{case['options'][1]}") for name, case in CASES],
)
def test_value_and_gradient_are_the_released_ones(name, case):
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
    assert relative_error(logits.grad, tensor(name, f"{case['id']}.grad")) < 1e-5
