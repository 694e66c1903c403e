import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from longtail.evaluation import (
    ConfusionMatrix,
    confusion_figure,
    plot_class_counts,
    plot_confusion,
    plot_curves,
    plot_per_class_accuracy,
)
from longtail.evaluation.confusion_figure import _pool
from longtail.evaluation.style import SHOT_COLOURS

pytestmark = pytest.mark.filterwarnings("error")


def tail(classes, largest=500, ratio=100):
    return [max(1, int(largest * ratio ** (-i / max(1, classes - 1)))) for i in range(classes)]


def diagonal(classes, samples=4):
    return ConfusionMatrix.from_matrix(torch.eye(classes, dtype=torch.int64) * samples)


def picture(path):
    """Read a PNG file as (height, width, 3) and check that nothing else was left beside it."""
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert os.listdir(path.parent) == [path.name]
    image = imread(path)[..., :3]
    assert min(image.shape[:2]) >= 400 and max(image.shape[:2]) <= 3000
    # Nothing runs over the edge: the outermost pixels are white.
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert border.min() > 0.99
    return image


def share_of(image, colour):
    return float((np.abs(image - np.array(to_rgb(colour))).max(-1) < 0.02).mean())


@pytest.mark.parametrize("classes", [10, 1000])
def test_class_counts_show_each_group(tmp_path, classes):
    plot_class_counts(tmp_path / "a.png", tail(classes))
    image = picture(tmp_path / "a.png")
    shown = {name: share_of(image, colour) > 0.02 for name, colour in SHOT_COLOURS.items()}
    assert shown == {"many": True, "medium": True, "few": True}
    # A falling staircase of bars: more colour left than right.
    coloured = (image.max(-1) - image.min(-1)) > 0.3
    half = image.shape[1] // 2
    assert coloured[200:, :half].sum() > 1.3 * coloured[200:, half:].sum()


@pytest.mark.parametrize("counts", [[5], [1000, 0]])
def test_class_counts_of_odd_data(tmp_path, counts):
    plot_class_counts(tmp_path / "a.png", counts)
    picture(tmp_path / "a.png")


def test_class_counts_in_any_order_give_the_same_large_picture(tmp_path):
    for name, counts in (("a", tail(100)), ("b", tail(100)[::-1])):
        (tmp_path / name).mkdir()
        plot_class_counts(tmp_path / name / "a.png", counts)
    assert np.array_equal(picture(tmp_path / "a/a.png"), picture(tmp_path / "b/a.png"))


def history(epochs, experts=3):
    records = []
    for epoch in range(1, epochs + 1):
        part = epoch / epochs
        records.append({"epoch": epoch, "split": "train", "loss": 4 - 3 * part, "top1": part, "lr": 0.1 * 0.9**epoch})
        groups = {"top1": 0.5 * part, "many": 0.7 * part, "medium": 0.5 * part, "few": 0.2 * part}
        each = [{"top1": 0.4 * part}] * experts
        records.append({"epoch": epoch, "split": "valid", "loss": 4 - part, "ensemble": groups, "experts": each})
    return records


@pytest.mark.parametrize(("epochs", "experts"), [(2, 1), (40, 3)])
def test_curves(tmp_path, epochs, experts):
    plot_curves(tmp_path / "a.png", history(epochs, experts))
    image = picture(tmp_path / "a.png")
    # Shot groups are drawn in the lower left panel only, where medium and few have no other use.
    height, width = image.shape[:2]
    for name in ("medium", "few"):
        assert share_of(image[height // 2 :, : width // 2], SHOT_COLOURS[name]) > 1e-4
        assert share_of(image[: height // 2], SHOT_COLOURS[name]) == 0


def test_curves_leave_out_what_is_missing(tmp_path):
    nan = float("nan")
    records = [
        {"epoch": 1, "split": "train", "loss": nan, "lr": 0.0},
        {
            "epoch": 1,
            "split": "valid",
            "ensemble": {"top1": 0.5, "few": None},
            "experts": [{}, {"top1": 0.1}],
        },
        {"epoch": 2, "split": "valid", "ensemble": {}, "experts": []},
    ]
    plot_curves(tmp_path / "a.png", records)
    picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match="no epochs"):
        plot_curves(tmp_path / "b.png", [])


@pytest.mark.parametrize("classes", [10, 1000])
def test_per_class_accuracy_draws_the_recall(tmp_path, classes):
    plot_per_class_accuracy(tmp_path / "a.png", diagonal(classes), tail(classes))
    image = picture(tmp_path / "a.png")
    rows = np.nonzero((np.abs(image - np.array(to_rgb(SHOT_COLOURS["few"]))).max(-1) < 0.02).any(1))[0]
    legend_row = 0.9 * image.shape[0]
    assert rows[rows < legend_row].max() < 0.15 * image.shape[0]  # all points and the mean are at 100 %


def test_per_class_accuracy_of_odd_data(tmp_path):
    cm = ConfusionMatrix(4)
    plot_per_class_accuracy(tmp_path / "a.png", cm, [5, 0, 200, 3])
    picture(tmp_path / "a.png")
    cm.update([0, 1, 1], [0, 1, 2])
    plot_per_class_accuracy(tmp_path / "a.png", cm, [5, 0, 200, 3])
    picture(tmp_path / "a.png")


def heat_map(image):
    """Cut the square between the left and the lower axis line out of a large confusion figure."""
    return image[150 : image.shape[0] - 130, 190 : image.shape[1] - 370]


@pytest.mark.parametrize("classes", [1000])
def test_every_class_of_a_large_matrix_is_drawn(tmp_path, classes):
    cm = diagonal(classes)
    cm.matrix[classes // 2, classes // 4] = 1  # one error in one row
    plot_confusion(tmp_path / "a.png", cm)
    cells = heat_map(picture(tmp_path / "a.png"))
    pixels = -(-1600 // classes)
    assert cells.shape[:2] == (classes * pixels, classes * pixels)
    middle = np.arange(classes) * pixels + pixels // 2
    sampled = cells[np.ix_(middle, middle)]
    # Every correct class is dark, nothing else but the single error is coloured.
    inside = sampled[1:-1, 1:-1]  # the axis lines cover a pixel of the others
    assert (np.diagonal(inside[..., 0]) < 0.35).all()
    coloured = np.argwhere(inside.min(-1) < 0.95) + 1
    off = [tuple(cell) for cell in coloured if cell[0] != cell[1]]
    assert off == [(classes // 2, classes // 4)]


def test_large_matrix_is_sorted_by_class_count_and_greys_empty_rows(tmp_path):
    cm = ConfusionMatrix(100)
    cm.update([99] * 99, [label for label in range(100) if label != 49])  # everything is taken for class 99
    plot_confusion(tmp_path / "a.png", cm, tail(100)[::-1])  # which has the most training images
    image = picture(tmp_path / "a.png")
    cells = heat_map(image)
    dark = cells[:, :, 0] < 0.35
    assert dark[:, 2:14].mean() > 0.95 and dark[:, 20:].mean() < 0.01
    assert all(share_of(image, colour) > 1e-3 for colour in SHOT_COLOURS.values())
    row = cells[50 * 16 + 8]
    assert (np.abs(row - 0xDD / 255) < 0.01).all(-1).mean() > 0.99


def test_too_many_classes_are_drawn_in_blocks(tmp_path, monkeypatch):
    pooled = _pool(np.arange(25).reshape(5, 5), 2)
    assert pooled.tolist() == [[12, 20, 13], [52, 60, 33], [41, 45, 24]]
    monkeypatch.setattr(confusion_figure, "LARGEST", 70)
    monkeypatch.setattr(confusion_figure, "SIDE", 600)
    plot_confusion(tmp_path / "a.png", diagonal(129), tail(129))
    cells = heat_map(picture(tmp_path / "a.png"))
    assert cells.shape[:2] == (650, 650)  # 65 blocks of two classes
    middle = np.arange(65) * 10 + 5
    assert (cells[middle, middle, 0][:-1] < 0.35).all()
    assert (cells[middle[1:-1], middle[:-2]] > 0.95).mean() > 0.9


@pytest.mark.parametrize(("normalize", "grouped"), [(True, True), (False, False)])
def test_small_matrix(tmp_path, normalize, grouped):
    names = ["a", "$b_{", "$c$", "a class whose name is far too long for any axis", "e"]
    cm = diagonal(5, samples=1234)
    cm.matrix[0, 1] = 200
    plot_confusion(tmp_path / "a.png", cm, tail(5) if grouped else None, names, normalize)
    image = picture(tmp_path / "a.png")
    assert (share_of(image, SHOT_COLOURS["few"]) > 1e-3) == grouped


def test_small_matrix_writes_its_numbers(tmp_path):
    cm = ConfusionMatrix.from_matrix(np.array([[8, 2], [5, 5]]))
    plain = ConfusionMatrix.from_matrix(np.array([[80, 20], [50, 50]]))
    for name, each in (("a", cm), ("b", plain)):
        (tmp_path / name).mkdir()
        plot_confusion(tmp_path / name / "a.png", each)
    first, second = picture(tmp_path / "a/a.png"), picture(tmp_path / "b/a.png")
    # The same shares give the same colours; only the counts below the percentages differ.
    assert first.shape == second.shape
    assert 0 < (first != second).any(-1).mean() < 0.01


@pytest.mark.parametrize("classes", [1, 25])
def test_matrices_of_any_size(tmp_path, classes):
    plot_confusion(tmp_path / "a.png", diagonal(classes), [10] * classes, [f"class {i}" for i in range(classes)])
    picture(tmp_path / "a.png")


def test_matrix_without_samples(tmp_path):
    plot_confusion(tmp_path / "a.png", ConfusionMatrix(3), normalize=False)
    picture(tmp_path / "a.png")


def test_mistakes_leave_no_file(tmp_path):
    path = tmp_path / "a.png"
    for call in (
        lambda: plot_confusion(path, diagonal(3), [1, 2]),
        lambda: plot_confusion(path, diagonal(3), names=["one"]),
        lambda: plot_per_class_accuracy(path, diagonal(3), [1]),
        lambda: plot_class_counts(path, []),
        lambda: plot_class_counts(path, [1, 2], many=5, few=5),
    ):
        with pytest.raises(ValueError):
            call()
    assert os.listdir(tmp_path) == []


def test_matplotlib_is_loaded_by_the_first_figure_and_pyplot_never(tmp_path):
    code = (
        "import sys, longtail.evaluation as e\n"
        "assert 'matplotlib' not in sys.modules\n"
        "e.plot_class_counts(sys.argv[1], [3, 2, 1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], check=False, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    picture(tmp_path / "a.png")
