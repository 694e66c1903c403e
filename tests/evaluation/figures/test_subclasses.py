"""Sizes of classes and subclasses."""

from pathlib import Path

import pytest

from longtail.evaluation import plot_subclass_sizes
from longtail.evaluation.figures.style import EXPERT, VALID
from tests.helpers.pictures import fraction_of, read_picture

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.slow
def test_plot_subclass_sizes_draws_classes_and_subclasses(tmp_path: Path) -> None:
    plot_subclass_sizes(tmp_path / "a.png", [500, 50, 5], [5] * 111)
    image = read_picture(tmp_path / "a.png")
    half = image.shape[1] // 2
    assert fraction_of(image[:, :half], VALID) > 0.02 > fraction_of(image[:, :half], EXPERT)
    assert fraction_of(image[:, half:], EXPERT) > 0.02 > fraction_of(image[:, half:], VALID)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[1], [3, 0, 1], [1000] * 3000])
def test_plot_subclass_sizes_of_any_number(tmp_path: Path, sizes: list[int]) -> None:
    plot_subclass_sizes(tmp_path / "a.png", [sum(sizes)], sizes)
    read_picture(tmp_path / "a.png")
