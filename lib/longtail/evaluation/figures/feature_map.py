"""Figure of features: their first two principal components, by class."""

import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from longtail.evaluation.figures.style import INK, dress, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 4000  # largest number of points, if there are fewer classes
NAMED = 30  # largest number of classes whose ids are written at their means


def plot_feature_map(path: str | os.PathLike[str], features: Tensor, labels: Tensor) -> None:
    """Draw the first two principal components of the features of images, colored by the size of their class.

    The components are computed from all images; of large classes only some images are drawn, evenly over the data set.

    Args:
        path: PNG file to write.
        features: (N, D).
        labels: Class ids, (N,).
    """
    points, explained = principal_components(features)
    counts = torch.bincount(labels)
    rank = counts.argsort(descending=True, stable=True).argsort()
    figure = new_figure(7.4, 6)
    axes = figure.add_subplot()
    shown = _some_of_each_class(labels, max(1, POINTS // len(counts)))
    x, y = points[shown].T.numpy()
    dots = axes.scatter(x, y, c=rank[labels[shown]].numpy(), cmap="turbo", s=5, linewidths=0)
    dots.set_clim(0, max(1, len(counts) - 1))
    if len(counts) <= NAMED:
        _name_classes(axes, points, labels)
    bar = figure.colorbar(dots, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("rank of the class, largest first", fontsize=9, color=INK)
    across, up = (
        f"component {number} ({100 * part:.0f} % of the variance)" for number, part in enumerate(explained, 1)
    )
    dress(axes, f"Features of {len(labels):,} training images", across, up)
    save(figure, path)


def principal_components(features: Tensor) -> tuple[Tensor, list[float]]:
    """Return the first two principal components of features (N, D), (N, 2) float64, and explained variance ratios.

    The sign of a component is chosen such that the sum of its cubes is positive.
    """
    centered = features.double() - features.double().mean(0)
    values, vectors = torch.linalg.eigh(centered.mT @ centered)  # in ascending order
    points = centered @ vectors[:, -2:].flip(1)
    points = points * torch.where(points.pow(3).sum(0) < 0, -1.0, 1.0)
    total = float(values.sum())
    return points, [float(value) / total if total > 0 else 0.0 for value in values[-2:].flip(0)]


def _some_of_each_class(labels: Tensor, most: int) -> Tensor:
    """Return the indices of at most `most` images of each class, evenly spaced in their order."""
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels)
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[order]]
    step = (counts + most - 1) // most  # 0 for classes without images
    return order[rank % step[labels[order]] == 0]


def _name_classes(axes: "Axes", points: Tensor, labels: Tensor) -> None:
    """Write the id of each class at the mean of its points."""
    for label in labels.unique().tolist():
        x, y = points[labels == label].mean(0).tolist()
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
        axes.text(x, y, str(label), fontsize=9, fontweight="bold", color=INK, ha="center", va="center", bbox=box)
