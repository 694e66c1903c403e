"""Accuracy of the shot groups as SBCL's release prints it, for counts that are in the same group under both rules."""

import pytest
from golden_records import record, tensor

from longtail.evaluation import ConfusionMatrix, shot_accuracy

CASES = [case for case in record("sbcl_stage2")["cases"] if case["kind"] == "shot_accuracy"]
assert len(CASES) == 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_shot_accuracy_is_the_released_one(case):
    matrix = ConfusionMatrix(len(case["class_counts"]))
    matrix.update(*(tensor("sbcl_stage2", f"{case['id']}.{name}") for name in ("predictions", "labels")))
    accuracy = shot_accuracy(matrix, case["class_counts"])
    assert [accuracy[name] for name in ("many", "medium", "few")] == pytest.approx(case["many_median_low"], rel=1e-9)
