"""Figure of a clustering: sizes of the classes and of their subclasses."""

import os
from typing import TYPE_CHECKING

from longtail.evaluation.confusion import Integers
from longtail.evaluation.figures.style import EXPERT, VALID, dress, new_figure, plain_log, save
from longtail.evaluation.shots import counts_list

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_subclass_sizes(path: str | os.PathLike[str], class_counts: Integers, subclass_counts: Integers) -> None:
    """Draw the training images of every class, and of every subclass, largest first, on one scale.

    Args:
        path: PNG file to write.
        class_counts: Training images per class, (C,).
        subclass_counts: Training images per subclass of all classes.
    """
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2, sharey=True)
    _draw(left, counts_list(class_counts), "classes", VALID)
    _draw(right, counts_list(subclass_counts), "subclasses", EXPERT)
    right.set_ylabel("")
    save(figure, path)


def _draw(axes: "Axes", counts: list[int], what: str, color: str) -> None:
    sizes = sorted(counts, reverse=True)
    edges = [position - 0.5 for position in range(len(sizes) + 1)]
    axes.stairs([max(size, 0.7) for size in sizes], edges, baseline=0.7, fill=True, color=color)
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set_ylim(bottom=0.7)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    title = f"{len(sizes):,} {what} of {sizes[-1]:,} to {sizes[0]:,} images"
    dress(axes, title, f"{what}, largest first", "training images")
    axes.grid(False, axis="x")
