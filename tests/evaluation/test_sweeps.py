import csv

import pytest
from PIL import Image

from longtail.evaluation import plot_sweep, sweep_rows, write_sweep

VALUES = [0.0, 0.5, 1.0]


def results(experts, groups=("many", "medium", "few")):
    """Judgements of which every number is told by value, expert and column."""
    made = []
    for step in range(len(VALUES)):
        of = [dict.fromkeys(("top1", "top5", *groups), (10 * step + who) / 100) for who in range(experts + 1)]
        made.append({"loss": 1.0, "ensemble": of[experts], "experts": of[:experts]})
    return made


def test_rows_are_the_ensemble_then_each_expert():
    rows = sweep_rows("tau", VALUES, results(2))
    assert [(row["tau"], row["of"]) for row in rows] == [
        (value, of) for of in ("ensemble", "expert 1", "expert 2") for value in ("0", "0.5", "1")
    ]
    assert list(rows[0]) == ["tau", "of", "top1", "many", "medium", "few"]
    assert [row["top1"] for row in rows] == [0.02, 0.12, 0.22, 0.0, 0.1, 0.2, 0.01, 0.11, 0.21]


def test_a_single_expert_is_its_own_ensemble():
    assert {row["of"] for row in sweep_rows("tau", VALUES, results(1))} == {"ensemble"}


@pytest.mark.parametrize("groups", [("many", "medium", "few"), ("medium",), ()])
def test_files_hold_the_groups_that_exist(tmp_path, groups):
    judged = results(1, groups)
    write_sweep(tmp_path / "a.csv", sweep_rows("tau", VALUES, judged))
    with open(tmp_path / "a.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["tau", "of", "top1", *groups]
    assert [float(row["top1"]) for row in rows] == [one["ensemble"]["top1"] for one in judged]
    plot_sweep(tmp_path / "a.png", "tau-normalisation", VALUES, judged)
    assert Image.open(tmp_path / "a.png").width > 300
