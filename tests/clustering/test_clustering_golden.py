"""Numbers of subclasses, clusterings and class temperatures of SBCL's release."""

from typing import Any

import pytest
import torch

from longtail.clustering import balanced_kmeans, class_temperatures, kmeans, subclass_numbers
from tests.helpers.golden import record, tensor

CASES = record("sbcl_clustering")["cases"]
NUMBERS = {"subclass_count": 14, "clustering_pass": 8, "kmeans": 5, "balanced_kmeans": 6}


def cases(kind: str) -> pytest.MarkDecorator:
    chosen = [case for case in CASES if case["kind"] == kind]
    assert len(chosen) == NUMBERS[kind]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case["id"])


def test_every_recorded_kind_is_covered() -> None:
    assert sum(NUMBERS.values()) == len(CASES)


@cases("subclass_count")
def test_subclass_numbers_are_the_released_ones(case: Any) -> None:
    numbers = subclass_numbers(case["class_counts"], case["delta"])
    assert numbers == case["subclasses"]
    assert sum(numbers) == case["total"]


@cases("clustering_pass")
def test_subclasses_and_class_temperatures_are_the_released_ones(case: Any) -> None:
    features, labels, start = (
        tensor("sbcl_clustering", f"{case['id']}.{name}") for name in ("features", "labels", "start")
    )
    numbers = subclass_numbers(case["class_counts"], case["delta"])
    assert numbers == case["subclasses"]
    subclasses, iterations, offset = torch.zeros_like(labels), [], 0
    for label, number in enumerate(numbers):
        inside = labels == label
        if number > 1:
            local, _, rounds = kmeans(features[inside], start[label, :number], case["max_iterations"], case["tol"])
            subclasses[inside] = local
            iterations.append(rounds)
        subclasses[inside] += offset
        offset += number
    assert torch.equal(subclasses, tensor("sbcl_clustering", f"{case['id']}.subclass"))
    assert iterations == case["iterations"]
    if case["rule"] == "Rank":
        values = class_temperatures(features, labels, numbers, case["temperature"])
        torch.testing.assert_close(values, torch.tensor(case["class_temperatures"]), rtol=1e-5, atol=0)


@cases("kmeans")
def test_kmeans_is_the_released_one(case: Any) -> None:
    agrees(kmeans, case)


@cases("balanced_kmeans")
def test_balanced_kmeans_is_the_released_one(case: Any) -> None:
    sizes = torch.bincount(agrees(balanced_kmeans, case))
    assert sizes.tolist() == case["sizes"]


def agrees(rule: Any, case: Any) -> Any:
    names = ("features", "start", "subclass", "centres")
    features, start, subclass, centers = (tensor("sbcl_clustering", f"{case['id']}.{name}") for name in names)
    found, moved, iterations = rule(features, start, case["max_iterations"], case["tol"])
    assert torch.equal(found, subclass)
    assert iterations == case["iterations"]
    torch.testing.assert_close(moved, centers, rtol=1e-5, atol=1e-6)
    return found
