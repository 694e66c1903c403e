"""Figures of a training: class counts, curves, and the accuracy of every class."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from longtail.evaluation.classes import Classes
from longtail.evaluation.figures.style import (
    EXPERT,
    FAINT,
    INK,
    SHOT_COLORS,
    TRAIN,
    VALID,
    dress,
    label_font,
    label_of,
    legend,
    new_figure,
    plain_log,
    save,
)
from longtail.evaluation.shots import GROUPS, shot_accuracy
from longtail.evaluation.tallies import PerClass

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEGEND_WIDTH = 0.4  # left end of the legend of the class counts, as a fraction of the width of the axes
LEGEND_FLOOR = 0.7  # its lower end, as a fraction of their height
NAMED_WORST = 5  # number of classes named in the figure of the accuracy per class

Record = Mapping[str, Any]
Points = list[tuple[float, float]]


def plot_class_counts(path: str | os.PathLike[str], classes: Classes) -> None:
    """Draw the training images of every class, largest class first, colored by shot group.

    Args:
        path: The PNG file to write.
        classes: The classes; without names their ids are drawn.

    Raises:
        ValueError: There are no classes.
    """
    figure = new_figure(8, 4)
    draw_class_counts(figure.add_subplot(), classes)
    save(figure, path)


def draw_class_counts(axes: "Axes", classes: Classes) -> None:
    """Draw the figure of `plot_class_counts` into axes."""
    counts, names = list(classes.counts), classes.names
    if not counts:
        raise ValueError("no classes to draw")
    order = sorted(range(len(counts)), key=lambda index: -counts[index])
    sizes = [counts[index] for index in order]
    rank = {index: position for position, index in enumerate(order)}

    # With a linear scale, a tail below a tenth of the head would not be visible.
    logarithmic = sizes[0] > 10 * max(1, sizes[-1])
    floor = 0.7 if logarithmic else 0.0
    gap = 0.2 if len(counts) <= 60 else 0.0
    for name, members in classes.groups().items():
        if not members:
            continue
        label = f"{name} ({classes.rule(name)}): {_many_of(len(members), 'class', 'classes')}, "
        label += _many_of(sum(counts[index] for index in members), "image")
        ranks = sorted(rank[index] for index in members)
        if gap:
            bars = [max(sizes[position] - floor, 0) for position in ranks]
            axes.bar(ranks, bars, width=1 - gap, bottom=floor, color=SHOT_COLORS[name], label=label)
        else:  # one outline per group: a thousand single bars show gaps, and take seconds
            edges = [position - 0.5 for position in [*ranks, ranks[-1] + 1]]
            heights = [sizes[position] for position in ranks]
            axes.stairs(heights, edges, baseline=floor, fill=True, color=SHOT_COLORS[name], label=label)
    if logarithmic:
        axes.set_yscale("log")
        plain_log(axes.yaxis)
        axes.set_ylim(bottom=floor)
    _room_for_legend(axes, sizes[int(LEGEND_WIDTH * len(sizes))])
    axes.set_xlim(-0.5 - 0.01 * len(counts), len(counts) - 0.5 + 0.01 * len(counts))
    if len(counts) <= 30:
        ticks = [label_of(names[index], str(index)) if names else str(index) for index in order]
        rotated: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        short = max(map(len, ticks)) <= 3
        axes.set_xticks(range(len(counts)), ticks, parse_math=False, family=label_font(), **({} if short else rotated))
    else:
        axes.xaxis.set_major_formatter("{x:,.0f}")
    title = f"{_many_of(sum(counts), 'training image')} in {_many_of(len(counts), 'class', 'classes')}"
    if sizes[-1] > 0:
        title += f", imbalance {sizes[0] / sizes[-1]:.4g}"
    where = "class" if len(counts) <= 30 else "class rank, largest first"
    dress(axes, title, where, "training images")
    axes.grid(False, axis="x")
    legend(axes, loc="upper right")


def _room_for_legend(axes: "Axes", tallest: int) -> None:
    """Raise the upper limit of the axis until the legend covers no bar, the tallest of which is given."""
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        reach = math.log(max(tallest, low) / low) / LEGEND_FLOOR
        axes.set_ylim(top=max(high, low * math.exp(reach)))
    else:
        axes.set_ylim(top=max(high, tallest / LEGEND_FLOOR))


def plot_curves(path: str | os.PathLike[str], history: Sequence[Record]) -> None:
    """Draw loss, accuracy, shot-group accuracy and learning rate over the epochs.

    Values that are missing or not finite are omitted from the curves.

    Args:
        path: PNG file to write.
        history: Records with "epoch" and "split" ("train" or "valid"); a train record may hold "loss", "top1" and "lr",
            a valid record "loss", "ensemble" {"top1", "many", "medium", "few"} and "experts" [{"top1"}]. Accuracies are
            fractions.

    Raises:
        ValueError: There are no records.
    """
    if not history:
        raise ValueError("no epochs to draw")
    train = [record for record in history if record.get("split") == "train"]
    valid = [record for record in history if record.get("split") == "valid"]

    figure = new_figure(10, 6.4)
    (loss, accuracy), (shots, rate) = figure.subplots(2, 2)
    _line(loss, _points(train, lambda r: r.get("loss")), TRAIN, "train")
    _line(loss, _points(valid, lambda r: r.get("loss")), VALID, "valid, ensemble")
    dress(loss, "Loss", "epoch", "loss")

    _line(accuracy, _points(train, lambda r: r.get("top1"), 100), TRAIN, "train")
    experts = max((len(record.get("experts", ())) for record in valid), default=0)
    if experts > 1:
        best = _best(_points(valid, _best_expert, 100))
        _line(accuracy, _points(valid, _best_expert, 100), EXPERT, f"valid, best of {experts} experts{best}")
    ensemble = _points(valid, _ensemble("top1"), 100)
    _line(accuracy, ensemble, VALID, f"valid{', ensemble' if experts > 1 else ''}{_best(ensemble)}")
    if ensemble:
        top = max(ensemble, key=lambda point: point[1])
        axes_point = {"marker": "o", "markersize": 5, "color": VALID, "zorder": 4}
        accuracy.plot(*([value] for value in top), **axes_point)
    dress(accuracy, "Accuracy", "epoch", "top-1 accuracy (%)")

    for name in GROUPS:
        points = _points(valid, _ensemble(name), 100)
        last = f" (last {points[-1][1]:.1f} %)" if points else ""
        _line(shots, points, SHOT_COLORS[name], f"{name}{last}")
    dress(shots, "Accuracy by shot group", "epoch", "top-1 accuracy (%)")

    _draw_rates(rate, _points(train, lambda r: r.get("lr")))
    epochs = [record["epoch"] for record in history]
    for axes in (loss, accuracy, shots, rate):
        margin = max(0.5, 0.02 * (max(epochs) - min(epochs)))
        axes.set_xlim(min(epochs) - margin, max(epochs) + margin)
        axes.xaxis.get_major_locator().set_params(integer=True)
        legend(axes, loc="best")
        if not axes.lines:
            axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=FAINT, fontsize=9)
            axes.set_yticks([])
    save(figure, path)


def _draw_rates(axes: "Axes", rates: Points) -> None:
    """Draw learning rates; on a logarithmic axis if they vary by more than a factor of 50."""
    _line(axes, rates, INK, "")
    values = [value for _, value in rates]
    if values and min(values) > 0 and max(values) > 50 * min(values):
        axes.set_yscale("log")
        plain_log(axes.yaxis, fractions=True)
    elif values:
        axes.set_ylim(bottom=min(0.0, *values, 0.0))
    dress(axes, "Learning rate", "epoch", "learning rate")


def plot_per_class_accuracy(path: str | os.PathLike[str], cm: PerClass, classes: Classes) -> None:
    """Draw the recall of each class over its training images, with the accuracy of each shot group.

    Args:
        path: PNG file to write.
        cm: Counted predictions over C classes; classes without test images are omitted.
        classes: The classes; if they have names, the worst ones are named in the figure.

    Raises:
        ValueError: There are not C classes.
    """
    classes.check(cm.num_classes)
    counts, recall, support = classes.counts, cm.recall(), cm.support()
    accuracy = shot_accuracy(cm, counts, classes.many, classes.few)
    figure = new_figure(8, 4.4)
    axes = figure.add_subplot()
    layer = 4 if cm.num_classes > 200 else 2
    size = 36 if cm.num_classes <= 30 else 20 if cm.num_classes <= 200 else 9
    for name, members in classes.groups().items():
        mean = accuracy[name]
        shown = [index for index in members if support[index]]
        if mean is None:
            continue
        across, up = [counts[index] for index in shown], [100 * recall[index] for index in shown]
        axes.scatter(across, up, s=size, color=SHOT_COLORS[name], alpha=0.75, linewidths=0, clip_on=False, zorder=3)
        # A few points are drawn above the line of their mean; with hundreds of points the line is drawn on top.
        ends = (min(across) / 1.04, max(across) * 1.04)
        axes.plot(ends, [100 * mean] * 2, color="white", linewidth=4.5, zorder=layer, solid_capstyle="butt")
        label = f"{name} ({classes.rule(name)}): {100 * mean:.1f} %, "
        label += _many_of(len(shown), "class", "classes")
        axes.plot(ends, [100 * mean] * 2, color=SHOT_COLORS[name], linewidth=2.2, zorder=layer, label=label)
    _scale_counts(axes, counts)
    if classes.names:
        _name_worst(axes, classes, recall=recall, support=support)
    axes.set_ylim(0, 100)
    title = "Accuracy per class"
    if accuracy["all"] is not None:
        title += f" (all: {100 * accuracy['all']:.1f} %)"
    if unseen := support.count(0):
        title += f"; {_many_of(unseen, 'class', 'classes')} without test images"
    dress(axes, title, "training images of the class", "recall (%)")
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5, frameon=False)
    save(figure, path)


def _scale_counts(axes: "Axes", counts: Sequence[int]) -> None:
    """Make the axis of the class counts logarithmic."""
    if min(counts) > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale(
            "symlog", linthresh=1
        )  # a logarithmic axis has no 0, the count of a class without training images
    plain_log(axes.xaxis)


def _name_worst(axes: "Axes", classes: Classes, *, recall: Sequence[float], support: Sequence[int]) -> None:
    """Write the names of the classes with the lowest recall next to their points; of equal points, only one."""
    names, counts = classes.names, classes.counts
    tested = [index for index in range(len(names)) if support[index]]
    worst = {(counts[index], recall[index]): index for index in sorted(tested, key=lambda index: -recall[index])}
    for (across, up), index in list(worst.items())[-NAMED_WORST:]:
        text = label_of(names[index], str(index), longest=16)
        axes.annotate(
            text,
            (across, 100 * up),
            (5, 4),
            textcoords="offset points",
            fontsize=7.5,
            color=INK,
            family=label_font(),
            parse_math=False,
            zorder=5,
        )


def _many_of(number: int, one: str, more: str = "") -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def _points(records: Sequence[Record], value: Callable[[Record], float | None], scale: float = 1) -> Points:
    found = ((record["epoch"], value(record)) for record in records)
    return sorted((epoch, scale * y) for epoch, y in found if y is not None and math.isfinite(y))


def _ensemble(key: str) -> Callable[[Record], float | None]:
    return lambda record: record.get("ensemble", {}).get(key)


def _best_expert(record: Record) -> float | None:
    return max((expert["top1"] for expert in record.get("experts", ()) if "top1" in expert), default=None)


def _best(points: Points) -> str:
    return f" (best {max(y for _, y in points):.1f} %)" if points else ""


def _line(axes: "Axes", points: Points, color: str, label: str) -> None:
    if points:
        marker = {"marker": "o", "markersize": 3.5} if len(points) <= 25 else {}
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=color, linewidth=1.6, label=label, **marker)  # type: ignore[arg-type]
