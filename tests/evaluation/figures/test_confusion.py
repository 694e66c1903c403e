"""Figures of confusion matrices."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from longtail.evaluation import Classes, ConfusionMatrix, plot_confusion
from longtail.evaluation.figures import confusion
from longtail.evaluation.figures.style import SHOT_COLORS
from tests.evaluation.figures.test_training import long_tail
from tests.helpers.pictures import Image, fraction_of, read_picture

pytestmark = pytest.mark.filterwarnings("error")


def diagonal(classes: int, samples: int = 4) -> ConfusionMatrix:
    """Return a matrix without errors."""
    return ConfusionMatrix.from_matrix(torch.eye(classes, dtype=torch.int64) * samples)


def heat_map(image: Image) -> Image:
    """Cut the square between the left and the lower axis line out of a large confusion figure."""
    return image[150 : image.shape[0] - 130, 190 : image.shape[1] - 370]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1000])
def test_plot_confusion_draws_every_class_of_a_large_matrix(tmp_path: Path, classes: int) -> None:
    cm = diagonal(classes)
    cm.matrix[classes // 2, classes // 4] = 1  # one error in one row
    plot_confusion(tmp_path / "a.png", cm)
    cells = heat_map(read_picture(tmp_path / "a.png"))
    pixels = -(-1600 // classes)
    assert cells.shape[:2] == (classes * pixels, classes * pixels)
    middle = np.arange(classes) * pixels + pixels // 2
    sampled = cells[np.ix_(middle, middle)]
    # Every correct class is dark, nothing but the single error is colored.
    inside = sampled[1:-1, 1:-1]  # the axis lines cover a pixel of the others
    assert (np.diagonal(inside[..., 0]) < 0.35).all()
    colored = np.argwhere(inside.min(-1) < 0.95) + 1
    off = [tuple(cell) for cell in colored if cell[0] != cell[1]]
    assert off == [(classes // 2, classes // 4)]


@pytest.mark.slow
def test_plot_confusion_sorts_by_class_count_and_grays_empty_rows(tmp_path: Path) -> None:
    cm = ConfusionMatrix(100)
    cm.update([99] * 99, [label for label in range(100) if label != 49])  # everything is predicted as class 99
    plot_confusion(tmp_path / "a.png", cm, Classes(long_tail(100)[::-1]))  # which has the most training images
    image = read_picture(tmp_path / "a.png")
    cells = heat_map(image)
    dark = cells[:, :, 0] < 0.35
    assert dark[:, 2:14].mean() > 0.95 and dark[:, 20:].mean() < 0.01
    assert all(fraction_of(image, color) > 1e-3 for color in SHOT_COLORS.values())
    row = cells[50 * 16 + 8]
    assert (np.abs(row - 0xDD / 255) < 0.01).all(-1).mean() > 0.99


@pytest.mark.slow
def test_plot_confusion_draws_too_many_classes_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pooled = confusion._pool(np.arange(25).reshape(5, 5), 2)
    assert pooled.tolist() == [[12, 20, 13], [52, 60, 33], [41, 45, 24]]
    monkeypatch.setattr(confusion, "LARGEST", 70)
    monkeypatch.setattr(confusion, "SIDE", 600)
    plot_confusion(tmp_path / "a.png", diagonal(129), Classes(long_tail(129)))
    cells = heat_map(read_picture(tmp_path / "a.png"))
    assert cells.shape[:2] == (650, 650)  # 65 blocks of two classes
    middle = np.arange(65) * 10 + 5
    assert (cells[middle, middle, 0][:-1] < 0.35).all()
    assert (cells[middle[1:-1], middle[:-2]] > 0.95).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [True, False])
def test_plot_confusion_of_a_small_matrix(tmp_path: Path, grouped: bool) -> None:
    names = ["a", "$b_{", "$c$", "a class whose name is far too long for any axis", "e"]
    cm = diagonal(5, samples=1234)
    cm.matrix[0, 1] = 200
    classes = Classes(long_tail(5), names) if grouped else None
    plot_confusion(tmp_path / "a.png", cm, classes)
    image = read_picture(tmp_path / "a.png")
    assert (fraction_of(image, SHOT_COLORS["few"]) > 1e-3) == grouped


@pytest.mark.slow
def test_plot_confusion_writes_the_counts_of_a_small_matrix(tmp_path: Path) -> None:
    cm = ConfusionMatrix.from_matrix(np.array([[8, 2], [5, 5]]))
    larger = ConfusionMatrix.from_matrix(np.array([[80, 20], [50, 50]]))
    for name, each in (("a", cm), ("b", larger)):
        (tmp_path / name).mkdir()
        plot_confusion(tmp_path / name / "a.png", each)
    first, second = read_picture(tmp_path / "a/a.png"), read_picture(tmp_path / "b/a.png")
    # Equal fractions have equal colors; only the counts below the percentages differ.
    assert first.shape == second.shape
    assert 0 < (first != second).any(-1).mean() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 25])
def test_plot_confusion_of_any_size(tmp_path: Path, classes: int) -> None:
    names = [f"class {i}" for i in range(classes)]
    plot_confusion(tmp_path / "a.png", diagonal(classes), Classes([10] * classes, names))
    read_picture(tmp_path / "a.png")


@pytest.mark.slow
def test_plot_confusion_without_samples(tmp_path: Path) -> None:
    plot_confusion(tmp_path / "a.png", ConfusionMatrix(3))
    read_picture(tmp_path / "a.png")


def test_plot_confusion_of_bad_input_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="class counts"):
        plot_confusion(tmp_path / "a.png", diagonal(3), Classes([1, 2]))
    with pytest.raises(ValueError, match="class names"):
        Classes([1, 2, 3], ["one"])
    assert os.listdir(tmp_path) == []
