"""Values and gradients of SBCL's release."""

import pytest
import torch
from golden_records import has_tensor, record, relative_error, tensor

from longtail.losses.contrastive import (
    k_positive_contrastive,
    subclass_contrastive,
    subclass_contrastive_queue,
    supervised_contrastive,
)

CASES = record("sbcl_losses")["cases"]
assert len(CASES) == 40


def value_of(case, arrays):
    options = dict(case["options"])
    if case["kind"] == "scl":
        return supervised_contrastive(arrays["features"], arrays["labels"], **options)
    if case["kind"] in ("sbcl", "sbcl_same_denominator"):
        if "class_temperatures" in options:
            options["class_temperatures"] = torch.tensor(options["class_temperatures"])
        return subclass_contrastive(arrays["features"], arrays["labels"], arrays["subclass"], **options)
    rows = (arrays["query"], arrays["key"], arrays["queue"])
    if case["kind"] == "kcl":
        return k_positive_contrastive(*rows, arrays["labels"], arrays["queue_labels"], draws=arrays["draws"], **options)
    ids = (arrays[name] for name in ("labels", "subclass", "queue_labels", "queue_subclass"))
    return subclass_contrastive_queue(*rows, *ids, **options)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']}-{case['kind']}")
def test_value_and_gradient_of_contrastive_losses_are_the_released_ones(case):
    names = ("features", "query", "key", "queue", "labels", "subclass", "queue_labels", "queue_subclass", "draws")
    keys = {name: f"{case['id']}.{name}" for name in names}
    arrays = {
        name: tensor("sbcl_losses", key) if has_tensor("sbcl_losses", key) else None for name, key in keys.items()
    }
    leaf = "query" if arrays["features"] is None else "features"
    arrays[leaf] = arrays[leaf].clone().requires_grad_()
    value = value_of(case, arrays)
    value.backward()
    gradient = tensor("sbcl_losses", f"{case['id']}.grad")
    assert value.item() == pytest.approx(case["loss"], rel=1e-5, abs=1e-6)
    if case["loss"] == 0:  # one image: its gradient is of rounding size
        assert arrays[leaf].grad.abs().max() < 1e-6
    else:
        assert relative_error(arrays[leaf].grad, gradient) < 1e-4
