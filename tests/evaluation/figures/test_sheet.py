import numpy as np
import pytest
from PIL import Image

from longtail.evaluation.sheet_figure import Row, plot_sheet

COUNTS = [300, 40, 5]


def rows(views, sides=(8, 8)):
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (sides[0], *[sides[1]] * views)]
    parts = ("head", "middle", "tail")
    return [Row(part, label, "a name that is far too long", 7, images) for label, part in enumerate(parts)]


@pytest.mark.parametrize(("views", "sides"), [(4, (8, 8)), (2, (150, 120))])
def test_a_sheet_is_drawn(tmp_path, views, sides):
    plot_sheet(tmp_path / "a.png", "title", rows(views, sides), [f"policy{n}" for n in range(views)], COUNTS)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width >= 1350


def test_the_images_are_in_the_picture(tmp_path):
    red, green = (np.full((8, 8, 3), colour, dtype=np.uint8) for colour in ((255, 0, 0), (0, 255, 0)))
    plot_sheet(tmp_path / "a.png", "title", [Row("head", 0, "", 0, [red, green])], ["crop"], COUNTS)
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    for colour in ((255, 0, 0), (0, 255, 0)):
        assert (pixels == colour).all(-1).sum() > 10_000


def test_no_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no images"):
        plot_sheet(tmp_path / "a.png", "title", [], [], COUNTS)
