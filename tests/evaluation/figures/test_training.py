"""Figures of a training: class counts, curves, accuracy per class."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtail.evaluation import Classes, ConfusionMatrix, plot_class_counts, plot_curves, plot_per_class_accuracy
from longtail.evaluation.figures import training
from longtail.evaluation.figures.style import SHOT_COLORS, new_figure
from tests.helpers.pictures import fraction_of, of_color, read_picture

pytestmark = pytest.mark.filterwarnings("error")


def long_tail(classes: int) -> list[int]:
    """Return class counts from 500 to 5."""
    return [int(500 * 100 ** (-i / max(1, classes - 1))) for i in range(classes)]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [10, 1000])
def test_plot_class_counts_shows_each_group(tmp_path: Path, classes: int) -> None:
    plot_class_counts(tmp_path / "a.png", Classes(long_tail(classes)))
    image = read_picture(tmp_path / "a.png")
    assert all(fraction_of(image, color) > 0.02 for color in SHOT_COLORS.values())
    # Falling bars: more color on the left than on the right.
    colored = (image.max(-1) - image.min(-1)) > 0.3
    half = image.shape[1] // 2
    assert colored[200:, :half].sum() > 1.3 * colored[200:, half:].sum()


@pytest.mark.slow
@pytest.mark.parametrize("counts", [[5], [1000, 0]])
def test_plot_class_counts_of_one_class_or_an_empty_class(tmp_path: Path, counts: list[int]) -> None:
    plot_class_counts(tmp_path / "a.png", Classes(counts))
    read_picture(tmp_path / "a.png")


@pytest.mark.slow
def test_plot_class_counts_does_not_depend_on_the_order_of_many_classes(tmp_path: Path) -> None:
    for name, counts in (("a", long_tail(100)), ("b", long_tail(100)[::-1])):
        (tmp_path / name).mkdir()
        plot_class_counts(tmp_path / name / "a.png", Classes(counts))
    assert np.array_equal(read_picture(tmp_path / "a/a.png"), read_picture(tmp_path / "b/a.png"))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that receives the figures that are drawn."""
    drawn: list[Any] = []

    def new(width: float, height: float) -> Any:
        drawn.append(new_figure(width, height))
        return drawn[-1]

    monkeypatch.setattr(training, "new_figure", new)
    return drawn


@pytest.mark.slow
@pytest.mark.parametrize("counts", [[100] * 10, [120, 110, 100, 90, 80, 70], [500] * 9 + [3], long_tail(100)])
def test_legend_of_class_counts_covers_no_bar(tmp_path: Path, figures: list[Any], counts: list[int]) -> None:
    plot_class_counts(tmp_path / "a.png", Classes(counts))
    (axes,) = figures[0].axes
    box = axes.get_legend().get_window_extent()
    for place, count in enumerate(sorted(counts, reverse=True)):
        across, up = axes.transData.transform((place, count))
        assert across < box.x0 or up < box.y0


@pytest.mark.slow
def test_plot_curves_labels_the_learning_rate_with_plain_numbers(tmp_path: Path, figures: list[Any]) -> None:
    records = [{"epoch": epoch, "split": "train", "loss": 1.0, "lr": 10.0**-epoch} for epoch in range(1, 5)]
    plot_curves(tmp_path / "a.png", records)
    labels = [label.get_text() for axes in figures[0].axes for label in axes.get_yticklabels()]
    assert {"0.001", "0.0001"} <= set(labels) and not any("$" in label for label in labels)


def history(epochs: int, experts: int = 3) -> list[dict[str, Any]]:
    """Return the records of a training."""
    records: list[dict[str, Any]] = []
    for epoch in range(1, epochs + 1):
        part = epoch / epochs
        records.append({"epoch": epoch, "split": "train", "loss": 4 - 3 * part, "top1": part, "lr": 0.1 * 0.9**epoch})
        groups = {"top1": 0.5 * part, "many": 0.7 * part, "medium": 0.5 * part, "few": 0.2 * part}
        each = [{"top1": 0.4 * part}] * experts
        records.append({"epoch": epoch, "split": "valid", "loss": 4 - part, "ensemble": groups, "experts": each})
    return records


@pytest.mark.slow
@pytest.mark.parametrize(("epochs", "experts"), [(2, 1), (40, 3)])
def test_plot_curves(tmp_path: Path, epochs: int, experts: int) -> None:
    plot_curves(tmp_path / "a.png", history(epochs, experts))
    image = read_picture(tmp_path / "a.png")
    # Shot groups are drawn in the lower left panel only, where medium and few have no other use.
    height, width = image.shape[:2]
    for name in ("medium", "few"):
        assert fraction_of(image[height // 2 :, : width // 2], SHOT_COLORS[name]) > 1e-4
        assert fraction_of(image[: height // 2], SHOT_COLORS[name]) == 0


@pytest.mark.slow
def test_plot_curves_leaves_out_missing_values(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"epoch": 1, "split": "train", "loss": float("nan"), "lr": 0.0},
        {"epoch": 1, "split": "valid", "ensemble": {"top1": 0.5, "few": None}, "experts": [{}, {"top1": 0.1}]},
        {"epoch": 2, "split": "valid", "ensemble": {}, "experts": []},
    ]
    plot_curves(tmp_path / "a.png", records)
    read_picture(tmp_path / "a.png")


def test_plot_curves_refuses_a_history_without_epochs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no epochs"):
        plot_curves(tmp_path / "b.png", [])


@pytest.mark.slow
@pytest.mark.parametrize("classes", [10, 1000])
def test_plot_per_class_accuracy_draws_the_recall(tmp_path: Path, classes: int) -> None:
    cm = ConfusionMatrix.from_matrix(torch.eye(classes, dtype=torch.int64) * 4)
    plot_per_class_accuracy(tmp_path / "a.png", cm, Classes(long_tail(classes)))
    image = read_picture(tmp_path / "a.png")
    rows = np.nonzero(of_color(image, SHOT_COLORS["few"]).any(1))[0]
    legend_row = 0.9 * image.shape[0]
    assert rows[rows < legend_row].max() < 0.15 * image.shape[0]  # all points and the mean are at 100 %


@pytest.mark.slow
def test_plot_per_class_accuracy_of_classes_without_samples(tmp_path: Path) -> None:
    cm = ConfusionMatrix(4)
    plot_per_class_accuracy(tmp_path / "a.png", cm, Classes([5, 0, 200, 3]))
    read_picture(tmp_path / "a.png")
    cm.update([0, 1, 1], [0, 1, 2])
    plot_per_class_accuracy(tmp_path / "a.png", cm, Classes([5, 0, 200, 3]))
    read_picture(tmp_path / "a.png")


@pytest.mark.slow
def test_figures_of_bad_input_leave_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(ValueError, match="class counts"):
        plot_per_class_accuracy(path, ConfusionMatrix(3), Classes([1]))
    with pytest.raises(ValueError):
        plot_class_counts(path, Classes([]))
    with pytest.raises(ValueError, match="overlap"):
        Classes([1, 2], many=5, few=5)
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_figures_load_matplotlib_when_the_first_is_drawn_and_never_pyplot(tmp_path: Path) -> None:
    code = (
        "import sys, longtail.evaluation as e\n"
        "assert 'matplotlib' not in sys.modules\n"
        "e.plot_class_counts(sys.argv[1], e.Classes([3, 2, 1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], check=False, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    read_picture(tmp_path / "a.png")
