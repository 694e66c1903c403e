"""A sheet of images: each original next to its augmented views, and the class counts below."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from longtail.evaluation.classes import Classes
from longtail.evaluation.figures.style import FAINT, INK, SHOT_COLORS, label_font, label_of, new_figure, save
from longtail.evaluation.figures.training import draw_class_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 0.95  # side of an image, inches
LABEL = 1.5  # width of the text next to a row, inches
CURVE = 3.1  # height of the class counts, inches
TURNED = 1.2  # height of the rotated class names below them, inches
SMALL = 100  # pixels; images up to this size are enlarged without smoothing


class Row(NamedTuple):
    """An original image with its views.

    Attributes:
        part: Heading of the row.
        label: Class id.
        name: Name of the class; may be empty.
        position: Index in the data set.
        images: The original, then each view, (H, W, 3) uint8, of any sizes.
    """

    part: str
    label: int
    name: str
    position: int
    images: Sequence[np.ndarray]


def plot_sheet(
    path: str | os.PathLike[str],
    title: str,
    rows: Sequence[Row],
    *,
    views: Sequence[str],
    classes: Classes,
) -> None:
    """Draw rows of images, part by part from left to right, over the curve of the class counts.

    Args:
        path: PNG file to write.
        title: Title of the sheet.
        rows: Rows, at least one; those of one part are drawn below each other.
        views: Name of each view.
        classes: The classes, whose counts are drawn below.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError("no images to draw")
    group = {label: name for name, labels in classes.groups().items() for label in labels}
    parts = list(dict.fromkeys(row.part for row in rows))
    columns = 1 + len(views)
    deepest = max(sum(row.part == part for row in rows) for part in parts)
    # Few views leave room for larger images.
    cell = CELL if columns > 3 else 1.25
    width = max(len(parts) * (LABEL + columns * cell + 0.25) + 0.2, 9.0)
    grid = deepest * (cell + 0.06)
    below = 0.55 + (TURNED if classes.names else 0)
    height = 1.15 + grid + CURVE + below - 0.25

    figure = new_figure(width, height, layout=None)
    figure.text(0.2 / width, 1 - 0.2 / height, title, fontsize=13, fontweight="bold", color=INK, va="top")
    block = (width - 0.2) / len(parts)
    for number, part in enumerate(parts):
        left = 0.2 + number * block
        _headings(figure, left + LABEL, 1.02, cell, (width, height), part, views)
        for depth, row in enumerate(row for row in rows if row.part == part):
            top = 1.15 + depth * (cell + 0.06)
            color = SHOT_COLORS[group[row.label]]
            _words(figure, left, top + cell / 2, (width, height), row, classes.counts[row.label], color)
            for column, image in enumerate(row.images):
                shift = LABEL + column * cell + (0.08 if column else 0)
                side = cell - 0.06
                box = ((left + shift) / width, 1 - (top + cell) / height, side / width, side / height)
                _show(figure.add_axes(box), image, None if column else color)
    curve = figure.add_axes((0.75 / width, below / height, 1 - 0.95 / width, (CURVE - 1.0) / height))
    draw_class_counts(curve, classes)
    save(figure, path)


def _headings(
    figure: "Figure", left: float, top: float, cell: float, size: tuple[float, float], part: str, views: Sequence[str]
) -> None:
    """Write the name of a part, and the heading of each column."""
    width, height = size
    figure.text((left - LABEL) / width, 1 - top / height, part, fontsize=11, fontweight="bold", color=INK, va="bottom")
    names = ["original"] + [f"view {n}\n{name}" if len(views) > 1 else name for n, name in enumerate(views, 1)]
    for column, name in enumerate(names):
        middle = left + column * cell + (0.08 if column else 0) + (cell - 0.06) / 2
        figure.text(
            middle / width,
            1 - top / height,
            name,
            fontsize=7.5,
            color=FAINT,
            ha="center",
            va="bottom",
            linespacing=1.25,
        )


def _words(
    figure: "Figure", left: float, middle: float, size: tuple[float, float], row: Row, count: int, color: str
) -> None:
    """Write the text next to a row: the class, its number of images, the index."""
    name = label_of(row.name, "", longest=18)
    lines = [
        (f"class {row.label}", 9.5, "bold", color),
        *([(name, 8.5, "normal", INK)] if name else []),
        (f"{count:,} image{'' if count == 1 else 's'}", 8.5, "normal", INK),
        (f"index {row.position:,}", 7.5, "normal", FAINT),
    ]
    step, family = 0.165, label_font()
    y = middle - step * (len(lines) - 1) / 2
    for text, points, weight, ink in lines:
        figure.text(
            left / size[0],
            1 - y / size[1],
            text,
            fontsize=points,
            fontweight=weight,
            color=ink,
            va="center",
            family=family,
            parse_math=False,
        )
        y += step


def _show(axes: "Axes", image: np.ndarray, frame: str | None) -> None:
    """Show an image, with a frame of this color if one is given."""
    axes.imshow(image, interpolation="nearest" if max(image.shape[:2]) <= SMALL else "antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(frame is not None)
        spine.set_color(frame or FAINT)
        spine.set_linewidth(1.6)
