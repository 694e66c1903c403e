"""The metric that decides which epoch is the best."""

import math
from typing import Any

import pytest

from longtail.runs.results import Results


def evaluation(*experts: dict[str, float], **ensemble: float) -> dict[str, Any]:
    return {"ensemble": ensemble, "experts": list(experts) or [ensemble]}


def test_results_add_keeps_the_first_of_equals() -> None:
    results = Results()
    assert results.add(1, evaluation(top1=0.5)) == (True, True)
    assert results.add(2, evaluation(top1=0.5)) == (False, False)
    assert results.add(3, evaluation(top1=0.6)) == (True, True)
    assert results.best is not None and results.last is not None
    assert results.best["epoch"] == results.last["epoch"] == 3


@pytest.mark.parametrize(
    ("select_by", "values", "best"),
    [
        ("top1", [0.5, 0.7, 0.6], 2),
        ("few", [0.1, 0.0, 0.2], 3),
        ("nll", [1.2, 1.5, 1.3], 1),
        ("ece", [0.3, 0.2, 0.1], 3),
    ],
)
def test_results_add_selects_by_a_metric(select_by: str, values: list[float], best: int) -> None:
    results = Results(select_by)
    for epoch, value in enumerate(values, start=1):
        results.add(epoch, evaluation(**{"top1": 0.5, select_by: value}))
    assert results.best is not None and results.best_single is not None
    assert results.best["epoch"] == results.best_single["epoch"] == best
    assert results.best_single[select_by] == values[best - 1]


def test_results_add_names_the_best_expert() -> None:
    results = Results("nll")
    results.add(1, evaluation({"top1": 0.9, "nll": 2.0}, {"top1": 0.8, "nll": 1.0}, top1=0.9, nll=1.5))
    assert results.best_single == {"epoch": 1, "expert": 2, "top1": 0.8, "nll": 1.0}


def test_results_add_without_samples() -> None:
    results = Results("nll")
    assert results.add(1, evaluation()) == (True, True)
    assert results.best_single == {"epoch": 1, "expert": 1, "top1": 0.0}
    assert results.add(2, evaluation(top1=0.1, nll=3.0)) == (True, True)
    assert not math.isinf(results.best_single["nll"])


def test_results_load_state_dict_restores_the_best() -> None:
    results, other = Results("macro_f1"), Results("macro_f1")
    results.add(1, evaluation(top1=0.5, macro_f1=0.4))
    other.load_state_dict(results.state_dict())
    assert other.add(2, evaluation(top1=0.9, macro_f1=0.3)) == (False, False)
