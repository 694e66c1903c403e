"""The outcome of a run."""

import json
import math
from typing import Any

import pytest

from longtail.runs.folder import finite
from longtail.runs.results import Results, RunFacts, evaluation_outcome, is_finished, last_accuracies, outcome, sealed

FACTS = RunFacts("x.yaml", 42, epochs=3, classes=2, images=8, experts=2, parameters=5, precision="off", architecture="")


def evaluation(ensemble: float, *experts: float) -> dict[str, Any]:
    return {"loss": 1.0, "ensemble": {"top1": ensemble}, "experts": [{"top1": top1} for top1 in experts]}


def test_add_returns_what_has_improved() -> None:
    results = Results()
    assert results.add(1, evaluation(0.5, 0.4, 0.3)) == (True, True)
    assert results.add(2, evaluation(0.5, 0.4, 0.4)) == (False, False)  # the first of equals is kept
    assert results.add(3, evaluation(0.4, 0.2, 0.6)) == (False, True)
    assert results.add(4, evaluation(0.6, 0.1, 0.2)) == (True, False)
    assert results.best is not None and results.best["epoch"] == 4
    assert results.best_single == {"epoch": 3, "expert": 2, "top1": 0.6}
    assert results.last == {"epoch": 4, "ensemble": {"top1": 0.6}, "experts": [{"top1": 0.1}, {"top1": 0.2}]}


def test_add_without_images_of_any_class() -> None:
    results = Results()
    assert results.add(1, {"ensemble": {}, "experts": [{}]}) == (True, True)
    assert results.best_single == {"epoch": 1, "expert": 1, "top1": 0.0}


def test_state_is_restored() -> None:
    results, other = Results(), Results()
    results.add(1, evaluation(0.5, 0.4))
    other.load_state_dict(results.state_dict())
    assert other.state_dict() == results.state_dict()
    assert other.add(2, evaluation(0.5, 0.4)) == (False, False)


def test_outcome_has_the_fields_of_results_json() -> None:
    results = Results()
    results.add(3, evaluation(0.5, 0.4, 0.3))
    content = outcome(FACTS, results, seconds=12.345, extra={"more": 1})
    assert content["seconds"] == 12.3 and content["more"] == 1
    assert {key: content[key] for key in ("config", "seed", "epochs", "classes", "experts", "parameters")} == {
        "config": "x.yaml",
        "seed": 42,
        "epochs": 3,
        "classes": 2,
        "experts": 2,
        "parameters": 5,
    }
    assert content["best"] == content["last"] == results.last
    assert last_accuracies(content) == {"top1": 0.5}


def test_last_accuracies_of_a_run_without_evaluation() -> None:
    assert last_accuracies({"last": None}) == {} == last_accuracies({})


def test_evaluation_outcome_is_finished() -> None:
    content = evaluation_outcome({"seed": 1}, epoch=3, evaluation=evaluation(0.5, 0.4), seconds=1.26)
    assert content["seed"] == 1 and content["epochs"] == 0 and content["seconds"] == 1.3
    assert content["best"] == content["last"] == {"epoch": 3, "ensemble": {"top1": 0.5}, "experts": [{"top1": 0.4}]}
    assert is_finished(content)


def test_is_finished_needs_the_content_that_was_written() -> None:
    content = sealed({"epochs": 3, "last": {"top1": 0.5, "nll": math.nan, 10: [1], 9: ()}})
    read_again = json.loads(json.dumps(finite(content)))
    assert is_finished(content) and is_finished(read_again)
    read_again["last"]["top1"] = 0.6
    assert not is_finished(read_again)
    assert is_finished({"finished": True, "seconds": 1.0})  # of an older version, without a digest
    assert not is_finished({"finished": True, "seconds": 1.0, "last": [1]})


@pytest.mark.parametrize("content", [None, [], {}, {"finished": 1}, {"finished": False}, {"finished": True}])
def test_is_finished_needs_the_flag(content: Any) -> None:
    assert not is_finished(content)
