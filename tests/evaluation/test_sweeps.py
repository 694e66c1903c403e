"""Tables and figures of a sweep."""

import csv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from longtail.evaluation import plot_sweep, sweep_rows, write_sweep

VALUES = [0.0, 0.5, 1.0]
GROUPS = ("many", "medium", "few")


def results(experts: int, groups: tuple[str, ...] = GROUPS) -> list[dict[str, Any]]:
    """Return results whose accuracies are (10 * step + expert) / 100; the ensemble comes after the experts."""
    made = []
    for step in range(len(VALUES)):
        of = [dict.fromkeys(("top1", "top5", *groups), (10 * step + who) / 100) for who in range(experts + 1)]
        made.append({"loss": 1.0, "ensemble": of[experts], "experts": of[:experts]})
    return made


def test_sweep_rows_are_the_ensemble_then_each_expert() -> None:
    rows = sweep_rows("tau", VALUES, results=results(2))
    assert [(row["tau"], row["of"]) for row in rows] == [
        (value, of) for of in ("ensemble", "expert 1", "expert 2") for value in ("0", "0.5", "1")
    ]
    assert list(rows[0]) == ["tau", "of", "top1", "many", "medium", "few"]
    assert [row["top1"] for row in rows] == [0.02, 0.12, 0.22, 0.0, 0.1, 0.2, 0.01, 0.11, 0.21]


def test_sweep_rows_of_a_single_expert_are_those_of_the_ensemble() -> None:
    assert {row["of"] for row in sweep_rows("tau", VALUES, results=results(1))} == {"ensemble"}


@pytest.mark.slow
@pytest.mark.parametrize("groups", [GROUPS, ("medium",), ()])
def test_write_sweep_and_plot_sweep_hold_the_groups_that_exist(tmp_path: Path, groups: tuple[str, ...]) -> None:
    evaluated = results(1, groups)
    write_sweep(tmp_path / "a.csv", sweep_rows("tau", VALUES, results=evaluated))
    with open(tmp_path / "a.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["tau", "of", "top1", *groups]
    assert [float(row["top1"]) for row in rows] == [result["ensemble"]["top1"] for result in evaluated]
    plot_sweep(tmp_path / "a.png", "tau-normalization", values=VALUES, results=evaluated)
    assert Image.open(tmp_path / "a.png").width > 300
