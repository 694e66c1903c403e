"""Reports: tables, per-class files, console lines."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtail.evaluation import (
    Classes,
    ConfusionMatrix,
    Evaluator,
    results_table,
    summary,
    write_confusion_npz,
    write_per_class,
)


@pytest.fixture
def cm() -> ConfusionMatrix:
    """Return predictions of four classes; the last has no test images and is never predicted."""
    matrix = ConfusionMatrix(4)
    matrix.update([0, 0, 1, 1, 2, 0], [0, 0, 0, 1, 1, 2])
    return matrix


def test_write_per_class(tmp_path: Path, cm: ConfusionMatrix) -> None:
    path = tmp_path / "classes.csv"
    names = ["plain", 'comma, "quote"', "two\nlines", "ünï"]
    write_per_class(path, cm, Classes([300, 50, 20, 0], names))
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == names
    assert [row["class"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["group"] for row in rows] == ["many", "medium", "few", "few"]
    assert [row["training_images"] for row in rows] == ["300", "50", "20", "0"]
    assert [row["test_images"] for row in rows] == ["3", "2", "1", "0"]
    assert [row["correct"] for row in rows] == ["2", "1", "0", "0"]
    assert [row["recall"] for row in rows] == ["0.666667", "0.500000", "0.000000", ""]
    assert [row["precision"] for row in rows] == ["0.666667", "0.500000", "0.000000", ""]
    assert os.listdir(tmp_path) == ["classes.csv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": [1, 2, 3, 4], "names": ["one"]}, "1 class names for 4"),
        ({"counts": [1]}, "class counts"),
        ({"counts": [1, 2, 3, 4], "many": 5, "few": 5}, "overlap"),
    ],
)
def test_write_per_class_refuses_bad_input_and_leaves_no_file(
    tmp_path: Path, cm: ConfusionMatrix, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_per_class(tmp_path / "a", cm, Classes(**options))
    assert os.listdir(tmp_path) == []


def test_write_confusion_npz(tmp_path: Path, cm: ConfusionMatrix) -> None:
    write_confusion_npz(tmp_path / "confusion.npz", cm, class_counts=torch.tensor([4, 3, 2, 1]))
    with np.load(tmp_path / "confusion.npz") as archive:
        assert set(archive) == {"confusion", "class_counts"}
        assert (archive["confusion"] == cm.matrix.numpy()).all()
        assert archive["class_counts"].tolist() == [4, 3, 2, 1]


def test_results_table() -> None:
    rows = [
        {"method": "NCL", "seed": 1, "ensemble top1": 0.54321, "few": None, "loss": 1.5},
        {"method": "plain", "ensemble top1": 1.0, "few": float("nan"), "seconds": 5123.44},
    ]
    assert results_table(rows).split("\n") == [
        "method  seed  ensemble top1  few    loss  seconds",
        "------  ----  -------------  ---  ------  -------",
        "NCL        1          54.32    -  1.5000        -",
        "plain      -         100.00    -       -   5123.4",
    ]
    assert results_table([]) == ""


def test_summary() -> None:
    evaluator = Evaluator(3, 2, class_counts=[200, 50, 50])
    signs = torch.tensor([1.0, -1.0])[:, None, None]
    evaluator.update(torch.eye(3).repeat(2, 1, 1) * signs, torch.tensor([0, 1, 2]))
    evaluator.update(torch.eye(3).repeat(2, 1, 1), torch.tensor([0, 1, 2]))
    lines = summary(evaluator.results())
    assert len(lines) == 4
    further = "balanced accuracy 66.67 %, macro-F1 66.67 %, worst class 50.00 %, calibration error 21.19 %"
    assert lines[1] == " " * 10 + further
    assert lines[0].startswith("ensemble  top1") and "few" not in lines[0] and "loss" in lines[0]
    assert lines[2] == "expert 1  top1 100.00 %  top2 100.00 %  top3 100.00 %  many 100.00 %  medium 100.00 %"
    assert lines[3].startswith("expert 2  top1  50.00 %")


def test_summary_without_samples() -> None:
    results = Evaluator(3, 1, class_counts=[1, 1, 1]).results()
    assert summary(results) == ["ensemble  no samples"]  # a single expert is its own ensemble
