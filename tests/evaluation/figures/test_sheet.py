"""Sheets of images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.evaluation import Classes
from longtail.evaluation.figures.sheet import Row, plot_sheet

COUNTS = [300, 40, 5]


def rows(views: int, sides: tuple[int, int] = (8, 8)) -> list[Row]:
    """Return a row of random images for each of three classes; sides of the original and of its views, in pixels."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (sides[0], *[sides[1]] * views)]
    parts = ("head", "middle", "tail")
    return [Row(part, label, "a name that is far too long", 7, images) for label, part in enumerate(parts)]


@pytest.mark.slow
@pytest.mark.parametrize(("views", "sides"), [(4, (8, 8)), (2, (150, 120))])
def test_plot_sheet(tmp_path: Path, views: int, sides: tuple[int, int]) -> None:
    names = [f"policy{n}" for n in range(views)]
    plot_sheet(tmp_path / "a.png", "title", rows=rows(views, sides), views=names, classes=Classes(COUNTS))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width >= 1350


@pytest.mark.slow
def test_plot_sheet_shows_the_images(tmp_path: Path) -> None:
    red, green = (np.full((8, 8, 3), color, dtype=np.uint8) for color in ((255, 0, 0), (0, 255, 0)))
    row = Row("head", 0, "", 0, [red, green])
    plot_sheet(tmp_path / "a.png", "title", rows=[row], views=["crop"], classes=Classes(COUNTS))
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    for color in ((255, 0, 0), (0, 255, 0)):
        assert (pixels == color).all(-1).sum() > 10_000


def test_plot_sheet_refuses_no_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images"):
        plot_sheet(tmp_path / "a.png", "title", rows=[], views=[], classes=Classes(COUNTS))
