"""Figure of a confusion matrix, readable for ten classes and for a thousand."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from longtail.evaluation.classes import Classes
from longtail.evaluation.confusion import ConfusionMatrix
from longtail.evaluation.figures.style import (
    DPI,
    FAINT,
    INK,
    SHOT_COLORS,
    dress,
    label_font,
    label_of,
    new_figure,
    save,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

ANNOTATED = 20  # largest number of classes with numbers in every cell
NAMED = 60  # largest number of classes with a tick for every class
SIDE = 1600  # smallest side of a large matrix in pixels
LARGEST = 2048  # cells per side; more classes are drawn in blocks
GAMMA = 0.4  # a 1 % error takes 16 % of the color range; a linear scale would hide it
UNSEEN = "#DDDDDD"
ZERO = "#BBBBBB"
TITLE: dict[str, Any] = {"fontweight": "bold", "color": INK}


def plot_confusion(
    path: str | os.PathLike[str],
    cm: ConfusionMatrix,
    classes: Classes | None = None,
) -> None:
    """Draw a confusion matrix as a heat map: a row per true class, a column per predicted class.

    With up to 20 classes every cell shows its numbers; with up to 60 every class is named. Larger matrices are drawn
    with a whole number of pixels per class, so that no class is lost; with more than 2048 classes neighboring classes
    share a block. A row without samples is gray.

    Args:
        path: PNG file to write.
        cm: Counted predictions over C classes.
        classes: The classes, which are drawn largest first, with their names (or ids if they have none) and shot
            groups; None: in the order of their ids.

    Raises:
        ValueError: There are not C classes.
    """
    order, groups, names = list(range(cm.num_classes)), {}, [str(index) for index in range(cm.num_classes)]
    if classes is not None:
        classes.check(cm.num_classes)
        order.sort(key=lambda index: -classes.counts[index])
        groups = {name: len(members) for name, members in classes.groups().items() if members}
        names = list(classes.names) or names
    # With sorted classes every shot group is one run of rows.
    raw = cm.matrix.cpu().numpy()[np.ix_(order, order)]
    labels = [label_of(names[index], str(index)) for index in order]

    title = "Confusion matrix"
    accuracy = cm.accuracy()
    if accuracy is not None:
        title += f" (accuracy {100 * accuracy:.2f} %)"
    if cm.num_classes <= NAMED:
        figure = _draw_small(raw, labels, groups, title)
    else:
        figure = _draw_large(raw, groups, title, by_count=classes is not None)
    save(figure, path)


def _draw_small(raw: Array, labels: list[str], groups: dict[str, int], title: str) -> "Figure":
    classes = len(labels)
    annotated = classes <= ANNOTATED
    side = max(2.5, 0.62 * classes if annotated else 3.5 + 0.2 * classes)
    figure = new_figure(side + 3.2, side + 2)
    axes = figure.add_subplot()
    values = _values(raw)
    # With numbers in the cells, a weaker gamma is enough and keeps them readable.
    image = _heat_map(axes, values, gamma=0.6 if annotated else GAMMA)
    ticks = range(classes)
    # A class may be called "$100", which must not be parsed as mathematics.
    family = label_font()
    axes.set_yticks(ticks, labels, parse_math=False, family=family)
    if max(map(len, labels)) <= 3:
        axes.set_xticks(ticks, labels, parse_math=False, family=family)
    elif annotated:
        axes.set_xticks(ticks, labels, parse_math=False, family=family, rotation=45, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(ticks, labels, parse_math=False, family=family, rotation=90)
    dress(axes, title, "predicted class", "true class", grid=False)
    axes.tick_params(length=0)
    if annotated:
        _annotate(axes, raw, values, image)
    _finish(axes, image, groups, classes, size=9, side=side)
    return figure


def _draw_large(raw: Array, groups: dict[str, int], title: str, *, by_count: bool) -> "Figure":
    classes = raw.shape[0]
    block = -(-classes // LARGEST)
    cells = _pool(raw, block)
    pixels = cells.shape[0] * -(-SIDE // cells.shape[0])
    # Exact margins instead of a layout engine, so that every class has the same whole number of pixels.
    left, right, bottom, top = 190, 370, 130, 150
    width, height = left + pixels + right, bottom + pixels + top
    figure = new_figure(width / DPI, height / DPI, layout=None)
    axes = figure.add_axes((left / width, bottom / height, pixels / width, pixels / height))
    image = _heat_map(axes, _values(cells))
    # The axes count classes, not blocks: class i covers i - 0.5 .. i + 0.5.
    edge = cells.shape[0] * block - 0.5
    image.set_extent((-0.5, edge, edge, -0.5))
    step = next(s for s in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**9) if classes / s <= 12)
    ticks = list(range(0, classes, step))
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    kind = "rank of the {} class, most training images first" if by_count else "{} class"
    dress(axes, title, kind.format("predicted"), kind.format("true"), grid=False, size=15)
    _finish(axes, image, groups, classes, size=14, side=pixels / DPI)
    return figure


def _heat_map(axes: "Axes", values: Array, gamma: float = GAMMA) -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    # The lightness of magma decreases evenly; without its palest tenth a single error is visible next to white zeros.
    colors = colormaps["magma_r"](np.linspace(0.1, 0.95, 256))
    palette = LinearSegmentedColormap.from_list("errors", colors).with_extremes(under="white", bad=UNSEEN)
    shown = np.where(values == 0, -1.0, values)  # zero is below the scale: white
    norm = PowerNorm(gamma, vmin=0, vmax=1)
    return axes.imshow(shown, cmap=palette, norm=norm, interpolation="nearest", aspect="equal")


def _finish(axes: "Axes", image: Any, groups: dict[str, int], classes: int, *, size: float, side: float) -> None:
    """Add the marks of the shot groups and the color bar; `size` in points, `side` in inches."""
    strip = 0.4 * size
    if groups:
        _mark_groups(axes, groups, classes, size, strip)
        axes.set_title(axes.get_title(loc="left"), loc="left", pad=3.4 * size, fontsize=size + 2, fontweight="bold")
    inch = 1 / side
    gap = (3.6 if groups else 1.5) * size / 72 * inch
    into = axes.inset_axes((1 + gap, 0, 1.6 * size / 72 * inch, 1))
    bar = axes.figure.colorbar(image, cax=into)
    ticks = [0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1]
    bar.set_ticks(ticks, labels=[f"{100 * tick:.0f} %" for tick in ticks])
    bar.ax.minorticks_off()
    bar.set_label("fraction of the true class", fontsize=size, color=INK)
    bar.ax.tick_params(labelsize=size - 1, color=FAINT, labelcolor=INK)
    bar.outline.set_visible(False)


def _mark_groups(axes: "Axes", groups: dict[str, int], classes: int, size: float, strip: float) -> None:
    """Draw a colored strip per shot group along the top and the right side, and lines between the groups."""
    from matplotlib.transforms import ScaledTranslation

    inches = axes.figure.dpi_scale_trans
    middle = (strip / 2 + 0.3 * size) / 72  # of a strip, from the edge of the matrix
    outside = (strip + 0.6 * size) / 72
    top, right = axes.get_xaxis_transform(), axes.get_yaxis_transform()
    line: dict[str, Any] = {"linewidth": strip, "solid_capstyle": "butt", "clip_on": False}
    text: dict[str, Any] = {"color": INK, "fontsize": size}
    start = 0
    for name, members in groups.items():
        low, high = start - 0.5, start + members - 0.5
        center, color = (low + high) / 2, SHOT_COLORS[name]
        up, along = ScaledTranslation(0, middle, inches), ScaledTranslation(middle, 0, inches)
        axes.plot([low, high], [1, 1], transform=top + up, color=color, **line)
        axes.plot([1, 1], [low, high], transform=right + along, color=color, **line)
        if members / classes > 0.08:  # a narrower strip has no room for its name
            up, along = ScaledTranslation(0, outside, inches), ScaledTranslation(outside, 0, inches)
            axes.text(center, 1, name, transform=top + up, ha="center", va="bottom", **text)
            axes.text(1, center, name, transform=right + along, ha="left", va="center", rotation=270, **text)
        if start:
            axes.axhline(low, color=FAINT, linewidth=0.5)
            axes.axvline(low, color=FAINT, linewidth=0.5)
        start += members
    axes.set_xlim(-0.5, classes - 0.5)
    axes.set_ylim(classes - 0.5, -0.5)


def _values(raw: Array) -> Array:
    """Return the fractions of each row of counts (rows, columns); rows without samples become NaN."""
    totals = raw.sum(axis=1, keepdims=True)
    return np.where(totals > 0, raw / np.maximum(totals, 1), np.nan)


def _pool(raw: Array, block: int) -> Array:
    """Sum the counts of `block` x `block` neighboring cells."""
    if block == 1:
        return raw
    starts = np.arange(0, raw.shape[0], block)
    return np.add.reduceat(np.add.reduceat(raw, starts, axis=0), starts, axis=1)


def _annotate(axes: "Axes", raw: Array, values: Array, image: Any) -> None:
    for row, column in np.ndindex(*raw.shape):
        count = int(raw[row, column])
        if not count:  # in a faint color, so that zeros do not hide the other numbers
            if raw[row].any():
                axes.text(column, row, "0", ha="center", va="center", fontsize=8, color=ZERO)
            continue
        red, green, blue, _ = image.cmap(image.norm(values[row, column]))
        color = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else INK
        lines = [(f"{100 * values[row, column]:.1f}", 2, 8), (f"{count:,}", -9, 5.5)]
        for text, up, size in lines:
            position: dict[str, Any] = {"xy": (column, row), "xytext": (0, up), "textcoords": "offset points"}
            bold = "bold" if row == column and size == 8 else "normal"
            axes.annotate(text, **position, ha="center", va="baseline", fontsize=size, color=color, weight=bold)
