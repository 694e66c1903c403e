"""Class counts and kept images of SBCL's release, which has the same rule as the other systems."""

from typing import Any

import pytest

from longtail.data.long_tail import class_counts, select_indices
from tests.helpers.golden import record, tensor

CASES = [case for case in record("sbcl_stage2")["cases"] if case["kind"] == "long_tail_selection"]
assert len(CASES) == 3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_class_counts_and_select_indices_are_the_released_ones(case: Any) -> None:
    counts = class_counts(case["per_class"], case["classes"], case["ratio"], case["type"])
    assert counts == case["counts"]
    labels = tensor("sbcl_stage2", f"{case['id']}.labels")
    kept = select_indices(labels.numpy(), counts, case["seed"])
    assert kept == tensor("sbcl_stage2", f"{case['id']}.selected").tolist()
    assert labels[kept].tolist() == tensor("sbcl_stage2", f"{case['id']}.selected_labels").tolist()
