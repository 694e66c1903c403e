"""Many, medium and few."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from longtail.evaluation import ConfusionMatrix, shot_accuracy, shot_groups
from tests.helpers.golden import Case, record, tensor

SBCL = [case for case in record("sbcl_stage2")["cases"] if case["kind"] == "shot_accuracy"]


def test_shot_accuracy_matches_golden() -> None:
    golden = record("metrics")
    cm = ConfusionMatrix(len(golden["class_counts"]))
    cm.update(golden["predictions"], golden["labels"])
    accuracy = shot_accuracy(cm, golden["class_counts"])
    assert accuracy["all"] == golden["accuracy"]
    for name in ("many", "medium", "few"):
        assert accuracy[name] == pytest.approx(golden[name], rel=1e-12)


def test_shot_accuracy_golden_cases_of_sbcl_are_complete() -> None:
    assert len(SBCL) == 2


@pytest.mark.parametrize("case", SBCL, ids=lambda case: case["id"])
def test_shot_accuracy_matches_golden_of_sbcl(case: Case) -> None:
    """The class counts of the record are in the same group under the rules of both systems."""
    matrix = ConfusionMatrix(len(case["class_counts"]))
    matrix.update(*(tensor("sbcl_stage2", f"{case['id']}.{name}") for name in ("predictions", "labels")))
    accuracy = shot_accuracy(matrix, case["class_counts"])
    assert [accuracy[name] for name in ("many", "medium", "few")] == pytest.approx(case["many_median_low"], rel=1e-9)


def test_shot_groups_boundaries() -> None:
    groups = shot_groups([101, 100, 99, 21, 20, 0])
    assert groups == {"many": [0, 1], "medium": [2, 3], "few": [4, 5]}
    assert shot_groups([5, 4, 3], many=5, few=3) == {"many": [0], "medium": [1], "few": [2]}


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_shot_accuracy_matches_loop(kind: Callable[[list[int]], Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    counts = [150, 120, 60, 30, 10, 5]
    labels = torch.randint(6, (400,), generator=generator) ** 2 % 6  # uneven: micro and macro averages differ
    predictions = torch.randint(6, (400,), generator=generator)
    cm = ConfusionMatrix(6)
    cm.update(predictions, labels)
    hits: dict[str, list[bool]] = {"all": [], "many": [], "medium": [], "few": []}
    for prediction, label in zip(predictions.tolist(), labels.tolist(), strict=True):
        name = "many" if counts[label] >= 100 else "few" if counts[label] <= 20 else "medium"
        hits[name].append(prediction == label)
        hits["all"].append(prediction == label)
    assert shot_accuracy(cm, kind(counts)) == {name: sum(found) / len(found) for name, found in hits.items()}


def test_shot_accuracy_of_groups_without_classes_or_samples_is_none() -> None:
    cm = ConfusionMatrix(3)
    assert set(shot_accuracy(cm, [200, 50, 5]).values()) == {None}
    cm.update([0, 1], [0, 0])
    assert shot_accuracy(cm, [200, 50, 5]) == {"all": 0.5, "many": 0.5, "medium": None, "few": None}
    assert shot_accuracy(cm, [200, 150, 120])["few"] is None


def test_shot_groups_refuse_bad_input() -> None:
    with pytest.raises(ValueError, match="overlap"):
        shot_groups([1, 2], many=20, few=20)
    with pytest.raises(ValueError, match="2 class counts for 3"):
        shot_accuracy(ConfusionMatrix(3), [1, 2])
    with pytest.raises(ValueError, match="-1"):
        shot_groups([5, -1])
