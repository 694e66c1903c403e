"""Class names in figures."""

import warnings
from pathlib import Path

import pytest

from longtail.evaluation import Classes, ConfusionMatrix, plot_class_counts, plot_confusion, plot_per_class_accuracy
from longtail.evaluation.figures.style import FONT, FURTHER_FONTS, label_font, label_of

UNWRITABLE = "\U000f0000"  # private use: no font has it


def test_label_font_starts_with_the_font_of_matplotlib() -> None:
    fonts = label_font()
    assert fonts[0] == FONT
    assert set(fonts[1:]) <= set(FURTHER_FONTS)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Avion à réaction", "Avion à réaction"),
        ("two\nlines", "two lines"),
        ("x" * 30, "x" * 21 + "…"),
        (f"cat {UNWRITABLE}", "7"),
        ("", "7"),
    ],
)
def test_label_of(name: str, label: str) -> None:
    assert label_of(name, "7") == label


@pytest.mark.slow
@pytest.mark.figures
def test_figures_of_unusual_names_give_no_warning(tmp_path: Path) -> None:
    names = ["猫", "$x^2$", UNWRITABLE, "a name that is very much too long for a tick"]
    cm = ConfusionMatrix(4)
    cm.update([0, 1, 2, 2], [0, 1, 2, 3])
    counts = [100, 50, 10, 5]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_confusion(tmp_path / "confusion.png", cm, Classes(counts, names))
        plot_class_counts(tmp_path / "counts.png", Classes(counts, names))
        plot_per_class_accuracy(tmp_path / "accuracy.png", cm, Classes(counts, names))
    assert len(list(tmp_path.glob("*.png"))) == 3
