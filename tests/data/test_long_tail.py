import hashlib
from typing import Any

import numpy as np
import pytest

from longtail.data.long_tail import class_counts, select_indices
from tests.helpers.golden import record

CASES = record("cifar_lt_selection")["cases"]


def name(case: Any) -> Any:
    return f"{case['classes']}x{case['per_class']} at {case['ratio']}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_class_counts_golden(case: Any) -> None:
    counts = class_counts(case["per_class"], case["classes"], case["ratio"])
    assert counts == case["counts"]
    assert sum(counts) == case["total"]


@pytest.mark.parametrize("case", [case for case in CASES if "selected" in case], ids=name)
def test_select_indices_golden(case: Any) -> None:
    assert select_indices(case["labels"], case["counts"], case["seed"]) == case["selected"]


@pytest.mark.parametrize(
    ("classes", "ratio", "digest"),
    [
        (10, 0.01, "8a54f5b6fa972295"),
        (10, 0.02, "7bb90363b243a944"),
        (100, 0.01, "f123ec136d44ab1b"),
        (100, 0.02, "1bc82de2629e5cbd"),
    ],
)
def test_select_indices_published_cifar_lt(classes: Any, ratio: Any, digest: Any) -> None:
    per_class = 50000 // classes
    labels = np.repeat(np.arange(classes), per_class)
    kept = select_indices(labels, class_counts(per_class, classes, ratio), seed=0)
    within = np.array(kept, dtype="<i8") % per_class
    assert hashlib.sha256(within.tobytes()).hexdigest()[:16] == digest


def test_select_indices_nested_for_milder_imbalance() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 50))
    strong, mild = (set(select_indices(labels, class_counts(50, 10, ratio), 3)) for ratio in (0.02, 0.1))
    assert strong < mild


def test_select_indices_depends_only_on_seed() -> None:
    labels = np.repeat(np.arange(3), 20)
    np.random.seed(1)  # noqa: NPY002  (the global generator must not matter)
    before = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    first = select_indices(labels, [20, 10, 5], 0)
    assert np.array_equal(before, np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002
    assert first == select_indices(labels.tolist(), [20, 10, 5], 0)
    assert first != select_indices(labels, [20, 10, 5], 1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((100, 4, 0.1, "step"), [100, 100, 10, 10]),
        ((100, 5, 0.1, "step"), [100, 100, 100, 10, 10]),
        ((100, 3, 1.0, "step"), [100, 100, 100]),
        ((100, 3, 1.0), [100, 100, 100]),
        ((7, 1, 0.5), [7]),
        ((10, 2, 0.01), [10, 0]),
    ],
)
def test_class_counts_shapes(arguments: Any, expected: Any) -> None:
    assert class_counts(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10, 0.1), "per_class 0"),
        ((10, 0, 0.1), "num_classes 0"),
        ((10, 10, 0), "ratio 0"),
        ((10, 10, 1.5), "ratio 1.5"),
        ((10, 10, 0.1, "linear"), "kind is 'linear'; allowed: 'exp', 'step'"),
    ],
)
def test_class_counts_invalid(arguments: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=message):
        class_counts(*arguments)


def test_select_indices_too_few_samples() -> None:
    with pytest.raises(ValueError, match="class 1 has 2 samples, fewer than the 3 to keep"):
        select_indices([0, 1, 1, 0], [1, 3], 0)
