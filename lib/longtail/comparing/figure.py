"""Figure of a comparison: mean and standard deviation of each group of runs, by shot group."""

import os

from longtail.comparing.compare import Comparison
from longtail.comparing.tables import NATURAL
from longtail.errors import UserError
from longtail.evaluation.figures.style import INK, dress, label_font, new_figure, save

# Okabe and Ito's colors, distinct with any color vision; runs beyond them have other markers.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "D", "v")
WORDS = {"top1": "all"}
SPREAD = 0.7  # fraction of the distance between two metrics over which the points of a metric are spread


def plot_comparison(path: str | os.PathLike[str], comparison: Comparison) -> None:
    """Draw one point with its standard deviation per group of runs and metric; a single run has no bar.

    Args:
        path: PNG file.
        comparison: Comparison; metrics that are not fractions, such as nll, are omitted.

    Raises:
        UserError: The file is not a PNG file, or no metric is a fraction.
    """
    check_figure(path)
    metrics = [name for name in comparison.metrics if not name.startswith(NATURAL)]
    if not metrics:
        raise UserError(f"--figure shows metrics that are fractions, not {', '.join(comparison.metrics)}")
    lines = comparison.lines
    figure = new_figure(max(6.0, 1.6 * len(metrics)), 3.8 + 0.2 * len(lines))
    axes = figure.add_subplot()
    step = SPREAD / max(len(lines), 2)
    for number, line in enumerate(lines):
        shift = (number - (len(lines) - 1) / 2) * step
        points = [(position + shift, line.metrics[name]) for position, name in enumerate(metrics)]
        found = [(x, estimate) for x, estimate in points if estimate]
        axes.errorbar(
            [x for x, _ in found],
            [100 * estimate.mean for _, estimate in found],
            yerr=[100 * (estimate.std or 0) for _, estimate in found],
            fmt=MARKERS[number // len(COLORS) % len(MARKERS)],
            color=COLORS[number % len(COLORS)],
            markersize=6,
            capsize=3,
            label=f"{line.label} (n = {len(line.seeds)})",
        )
    axes.set_xticks(range(len(metrics)), [WORDS.get(name, name.replace("_", " ")) for name in metrics])
    axes.set_xlim(-0.5, len(metrics) - 0.5)
    dress(axes, f"{comparison.moment} evaluation, mean and standard deviation over {comparison.over}", "", "%")
    axes.grid(False, axis="x")
    for position in range(1, len(metrics)):
        axes.axvline(position - 0.5, color="#E4E4E4", linewidth=0.8)
    # Below the axes, where it does not cover anything.
    figure.legend(loc="outside lower left", frameon=False, labelcolor=INK, prop={"family": label_font(), "size": 8.5})
    save(figure, path)


def check_figure(path: str | os.PathLike[str]) -> None:
    """Refuse a figure that is not a PNG file.

    Raises:
        UserError: It is not; the message names the suffix.
    """
    if not os.fspath(path).lower().endswith(".png"):
        raise UserError(f"--figure {path} must be a .png file")
