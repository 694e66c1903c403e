"""Results of evaluating one network with several strengths of a correction: a table and a figure."""

import csv
import os
from collections.abc import Mapping, Sequence
from typing import Any

from longtail.evaluation.figures.style import FAINT, INK, SHOT_COLORS, dress, legend, new_figure, save
from longtail.evaluation.shots import GROUPS
from longtail.files import atomic_write
from longtail.user_files import translating

SHOWN = ("top1", *GROUPS)


def sweep_rows(parameter: str, values: Sequence[float], results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per value for the ensemble and, if there are several experts, one per value for each expert.

    Args:
        parameter: Name of the column of the values.
        values: Strengths.
        results: `Evaluator.results` for each strength.

    Returns:
        Rows with the value (a string), "of", and those of "top1", "many", "medium" and "few" that exist.
    """
    experts = len(results[0]["experts"]) if results else 0
    columns = [("ensemble", [result["ensemble"] for result in results])]
    if experts > 1:
        columns += [(f"expert {n + 1}", [result["experts"][n] for result in results]) for n in range(experts)]
    return [
        {parameter: f"{value:g}", "of": name, **{key: accuracy[key] for key in SHOWN if key in accuracy}}
        for name, accuracies in columns
        for value, accuracy in zip(values, accuracies, strict=True)
    ]


def write_sweep(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of a sweep as a CSV file; accuracies are fractions, missing values are empty."""
    with translating(path, "table"), atomic_write(path, "w") as file:
        table = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        table.writeheader()
        table.writerows(
            {key: f"{cell:.6f}" if isinstance(cell, float) else cell for key, cell in row.items()} for row in rows
        )


def plot_sweep(
    path: str | os.PathLike[str], title: str, values: Sequence[float], results: Sequence[Mapping[str, Any]]
) -> None:
    """Draw the ensemble's accuracy, over all images and by shot group, over the strength.

    Args:
        path: PNG file to write.
        title: Name of the correction.
        values: Strengths, in ascending order.
        results: `Evaluator.results` for each strength.
    """
    figure = new_figure(7, 4.2)
    axes = figure.add_subplot()
    for key, color in (("top1", INK), *SHOT_COLORS.items()):
        points = [
            (x, 100 * result["ensemble"][key])
            for x, result in zip(values, results, strict=True)
            if key in result["ensemble"]
        ]
        if not points:
            continue
        best = max(points, key=lambda point: point[1])
        name = "all" if key == "top1" else key
        label = f"{name} (best {best[1]:.1f} % at {best[0]:g})"
        across, up = zip(*points, strict=True)
        axes.plot(
            across, up, color=color, linewidth=2.2 if key == "top1" else 1.4, marker="o", markersize=3, label=label
        )
        if key == "top1":
            axes.axvline(best[0], color=FAINT, linewidth=0.8, linestyle="--", zorder=0)
    dress(axes, title, "strength", "top-1 accuracy (%)")
    legend(axes, loc="best")
    save(figure, path)
