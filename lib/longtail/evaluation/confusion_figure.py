"""The picture of a confusion matrix, readable with ten classes and with a thousand."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from longtail.evaluation.confusion import ConfusionMatrix, Integers
from longtail.evaluation.report import check_names
from longtail.evaluation.shots import FEW, MANY, counts_list, shot_groups
from longtail.evaluation.style import DPI, FAINT, INK, SHOT_COLOURS, dress, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

ANNOTATED = 20  # classes up to which every cell holds its numbers
NAMED = 60  # classes up to which every class has its tick
SIDE = 1600  # pixels that a large matrix fills at least
LARGEST = 2048  # cells per side; more classes are drawn in blocks
GAMMA = 0.4  # a 1 % error takes 16 % of the colour range, where a linear scale would hide it
UNSEEN = "#DDDDDD"


def plot_confusion(
    path: str | os.PathLike[str],
    cm: ConfusionMatrix,
    class_counts: Integers | None = None,
    names: Sequence[str] | None = None,
    normalize: bool = True,
    many: int = MANY,
    few: int = FEW,
) -> None:
    """Draw a confusion matrix as a heat map: a row per true class, a column per predicted class.

    Up to 20 classes every cell holds its numbers; up to 60 every class is named. Larger matrices are drawn
    with a whole number of pixels per class, so that no class is lost; beyond 2048 neighbouring classes share
    a block. A row without samples is grey.

    Args:
        path: the PNG file to write.
        cm: the counted predictions over C classes.
        class_counts: (C,) training images per class; the classes are then drawn largest first, with their
            shot groups marked.
        names: C class names for the ticks; the class ids when absent.
        normalize: draw fractions of each row rather than counts.
        many: smallest count of a "many" class.
        few: largest count of a "few" class.

    Raises:
        ValueError: `class_counts` or `names` has not C entries, or the thresholds overlap.
    """
    classes = cm.num_classes
    labels = check_names(names, classes) or [str(index) for index in range(classes)]
    order, groups = list(range(classes)), {}
    if class_counts is not None:
        counts = counts_list(class_counts, classes)
        order.sort(key=lambda index: -counts[index])
        groups = {name: len(members) for name, members in shot_groups(counts, many, few).items() if members}
    # With sorted classes every shot group is one run of rows.
    raw = cm.matrix.cpu().numpy()[np.ix_(order, order)]
    labels = [_short(labels[index]) for index in order]

    title = "Confusion matrix"
    accuracy = cm.accuracy()
    if accuracy is not None:
        title += f" (accuracy {100 * accuracy:.2f} %)"
    if classes <= NAMED:
        figure = _draw_small(raw, labels, groups, normalize, title)
    else:
        figure = _draw_large(raw, groups, normalize, title, by_count=class_counts is not None)
    save(figure, path)


def _draw_small(
    raw: Array, labels: list[str], groups: dict[str, int], normalize: bool, title: str
) -> "Figure":
    classes = len(labels)
    side = 2.6 + 0.62 * classes if classes <= ANNOTATED else 4.5 + 0.2 * classes
    figure = new_figure(max(5.5, side + 1.3), max(4.6, side))
    axes = figure.add_subplot()
    values = _values(raw, normalize)
    image = _heat_map(axes, values, normalize)
    axes.set_xticks(range(classes))
    axes.set_yticks(range(classes))
    # A class may be called "$100": no mathematics in names.
    axes.set_yticklabels(labels, parse_math=False)
    axes.set_xticklabels(labels, parse_math=False)
    dress(axes, title, "predicted class", "true class", grid=False)
    axes.tick_params(length=0)
    if max(map(len, labels)) > 3:
        axes.tick_params(axis="x", rotation=90 if classes > ANNOTATED else 45)
        for tick in axes.get_xticklabels():
            tick.set(
                horizontalalignment="right" if classes <= ANNOTATED else "center", rotation_mode="anchor"
            )
            if classes > ANNOTATED:
                tick.set(rotation_mode="default")
    for tick, name in zip([*axes.get_xticklabels()], _group_of(groups), strict=False):
        tick.set_color(SHOT_COLOURS[name])
    if classes <= ANNOTATED:
        _annotate(axes, raw, values, image, normalize)
    _mark_groups(axes, groups, classes, size=9, width=6)
    _colour_bar(figure, axes, image, normalize, size=9)
    return figure


def _draw_large(raw: Array, groups: dict[str, int], normalize: bool, title: str, by_count: bool) -> "Figure":
    classes = raw.shape[0]
    block = -(-classes // LARGEST)
    cells = _pool(raw, block)
    pixels = cells.shape[0] * -(-SIDE // cells.shape[0])
    # Exact margins instead of a layout engine: only a whole number of pixels per class draws all classes
    # alike.
    left, right, bottom, top = 210, 250, 150, 130
    width, height = left + pixels + right, bottom + pixels + top
    figure = new_figure(width / DPI, height / DPI, layout=None)
    axes = figure.add_axes((left / width, bottom / height, pixels / width, pixels / height))
    image = _heat_map(axes, _values(cells, normalize), normalize)
    # The axes count classes whatever the blocks: class i covers i - 0.5 .. i + 0.5.
    edge = cells.shape[0] * block - 0.5
    image.set_extent((-0.5, edge, edge, -0.5))
    step = next(s for s in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**9) if classes / s <= 12)
    ticks = list(range(0, classes, step))
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    kind = "rank of the {} class, most training images first" if by_count else "{} class"
    dress(axes, title, kind.format("predicted"), kind.format("true"), grid=False, size=15)
    if groups:
        axes.title.set_position((0, 1))
        axes.set_title(
            axes.get_title(loc="left"), loc="left", pad=44, fontsize=17, fontweight="bold", color=INK
        )
    _mark_groups(axes, groups, classes, size=14, width=10)
    bar = figure.add_axes(((left + pixels + 90) / width, bottom / height, 30 / width, pixels / height))
    _colour_bar(figure, axes, image, normalize, size=14, into=bar)
    return figure


def _heat_map(axes: "Axes", values: Array, normalize: bool) -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    # Magma's lightness falls evenly; without its palest tenth a single error still stands out from the white
    # zeros.
    colours = colormaps["magma_r"](np.linspace(0.1, 1.0, 256))
    palette = LinearSegmentedColormap.from_list("errors", colours).with_extremes(under="white", bad=UNSEEN)
    highest = 1.0 if normalize else max(1.0, float(np.nanmax(values, initial=0)))
    norm = PowerNorm(GAMMA, vmin=0, vmax=highest)
    shown = np.where(values == 0, -1.0, values)  # below the scale: white, and never clipped into it
    return axes.imshow(shown, cmap=palette, norm=norm, interpolation="nearest", aspect="equal")


def _values(raw: Array, normalize: bool) -> Array:
    """Turn counts (rows, columns) into what is coloured; rows without samples become NaN."""
    totals = raw.sum(axis=1, keepdims=True)
    scale = np.maximum(totals, 1) if normalize else 1
    return np.where(totals > 0, raw / scale, np.nan)


def _pool(raw: Array, block: int) -> Array:
    """Sum the counts of `block` x `block` neighbouring cells."""
    if block == 1:
        return raw
    starts = np.arange(0, raw.shape[0], block)
    return np.add.reduceat(np.add.reduceat(raw, starts, axis=0), starts, axis=1)


def _annotate(axes: "Axes", raw: Array, values: Array, image: Any, normalize: bool) -> None:
    for row, column in np.ndindex(*raw.shape):
        count = int(raw[row, column])
        if not count:
            continue  # zeros would bury the numbers that matter
        red, green, blue, _ = image.cmap(image.norm(values[row, column]))
        colour = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else INK
        strong = "bold" if row == column else "normal"
        if not normalize:
            axes.text(
                column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour, weight=strong
            )
            continue
        percent = f"{100 * values[row, column]:.1f}"
        axes.text(
            column, row - 0.12, percent, ha="center", va="center", fontsize=8, color=colour, weight=strong
        )
        axes.text(column, row + 0.24, f"{count:,}", ha="center", va="center", fontsize=5.5, color=colour)


def _short(name: str, longest: int = 22) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _group_of(groups: dict[str, int]) -> list[str]:
    return [name for name, size in groups.items() for _ in range(size)]


def _mark_groups(axes: "Axes", groups: dict[str, int], classes: int, size: float, width: float) -> None:
    """Draw a coloured strip per shot group along the top and the right side, and lines between the groups."""
    start = 0
    for name, members in groups.items():
        low, high = start - 0.5, start + members - 0.5
        offset = 0.012
        across: dict[str, Any] = {
            "color": SHOT_COLOURS[name],
            "linewidth": width,
            "solid_capstyle": "butt",
            "clip_on": False,
        }
        axes.plot([low, high], [1 + offset] * 2, transform=axes.get_xaxis_transform(), **across)
        axes.plot([1 + offset] * 2, [low, high], transform=axes.get_yaxis_transform(), **across)
        if members / classes > 0.08:
            at: dict[str, Any] = {"color": SHOT_COLOURS[name], "fontsize": size, "fontweight": "bold"}
            middle = (low + high) / 2
            gap = 1 + 2.4 * offset
            axes.text(middle, gap, name, transform=axes.get_xaxis_transform(), ha="center", va="bottom", **at)
            axes.text(
                gap,
                middle,
                name,
                transform=axes.get_yaxis_transform(),
                ha="left",
                va="center",
                rotation=270,
                **at,
            )
        if start:
            for line in (axes.axhline, axes.axvline):
                line(low, color=FAINT, linewidth=0.5)
        start += members
    axes.set_xlim(-0.5, classes - 0.5)
    axes.set_ylim(classes - 0.5, -0.5)


def _colour_bar(
    figure: "Figure", axes: "Axes", image: Any, normalize: bool, size: float, into: "Axes | None" = None
) -> None:
    if into is None:
        bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.03)
    else:
        bar = figure.colorbar(image, cax=into)
    if normalize:
        ticks = [0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1]
        bar.set_ticks(ticks, labels=[f"{100 * tick:.0f} %" for tick in ticks])
    bar.set_label("share of the true class" if normalize else "test images", fontsize=size, color=INK)
    bar.ax.tick_params(labelsize=size - 1, color=FAINT, labelcolor=INK)
    bar.outline.set_visible(False)
