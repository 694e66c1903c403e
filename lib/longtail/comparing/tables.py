"""A comparison as text, CSV, Markdown or LaTeX."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

from longtail.comparing.compare import Comparison, Line
from longtail.comparing.statistics import Difference, Estimate

NATURAL = ("loss", "nll")  # prefixes of metrics that are not fractions


def as_text(comparison: Comparison) -> str:
    """Return aligned tables: accuracies in percent, differences to the first group, and the keys that differ."""
    first, rest = comparison.lines[0], comparison.lines[1:]
    parts = [f"ensemble of the {comparison.moment} evaluation, mean ± standard deviation over {comparison.over}"]
    parts.append(_aligned(_main_rows(comparison, " ± ")))
    if rest:
        parts.append(f"difference to {first.label}, paired by seed, with its 95 % bootstrap interval")
        rows = [["runs", "pairs", *comparison.metrics]]
        for line in rest:
            pairs = max((found.n for found in line.differences.values() if found), default=0)
            rows.append([line.label, str(pairs), *(_difference(line, name) for name in comparison.metrics)])
        parts.append(_aligned(rows))
        parts.append("keys that differ")
        keys = list(first.keys)
        labels = [line.label for line in comparison.lines]
        parts.append(
            _aligned([["key", *labels], *([key, *(str(line.keys[key]) for line in comparison.lines)] for key in keys)])
        )
    if comparison.skipped:
        parts.append(f"not finished, skipped: {', '.join(comparison.skipped)}")
    return "\n\n".join(parts) + "\n"


def as_csv(comparison: Comparison) -> str:
    """Return one line per group with plain numbers; accuracies are fractions, missing values are empty."""
    header = ["runs", "n", "seeds"]
    for name in comparison.metrics:
        header += [f"{name}_mean", f"{name}_std", f"{name}_difference", f"{name}_low", f"{name}_high"]
    header += ["parameters", "hours", *comparison.lines[0].keys]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    for line in comparison.lines:
        cells: list[Any] = [line.label, len(line.seeds), " ".join(map(str, line.seeds))]
        for name in comparison.metrics:
            found, difference = line.metrics[name], line.differences.get(name)
            cells += [found.mean, found.std] if found else [None, None]
            cells += [difference.mean, difference.low, difference.high] if difference else [None, None, None]
        table.writerow([*cells, line.parameters, f"{line.hours:.4f}", *line.keys.values()])
    return text.getvalue()


def as_markdown(comparison: Comparison) -> str:
    """Return a Markdown table."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in _main_rows(comparison, " ± ")]
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]]) + "\n"


def as_latex(comparison: Comparison) -> str:
    """Return a LaTeX tabular, for the package booktabs."""
    rows = _main_rows(comparison, r" $\pm$ ")
    body = [" & ".join(_escaped(cell) for cell in row) + r" \\" for row in rows]
    begin = rf"\begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}"
    return "\n".join([begin, r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}"]) + "\n"


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "text": as_text,
    "csv": as_csv,
    "md": as_markdown,
    "latex": as_latex,
}


def _main_rows(comparison: Comparison, between: str) -> list[list[str]]:
    rows = [["runs", "n", *comparison.metrics, "parameters", "hours"]]
    for line in comparison.lines:
        metrics = [_estimate(line.metrics[name], name, between) for name in comparison.metrics]
        rows.append([line.label, str(len(line.seeds)), *metrics, f"{line.parameters:,}", f"{line.hours:.3g}"])
    return rows


def _estimate(found: Estimate | None, name: str, between: str) -> str:
    if found is None:
        return "-"
    std = "" if found.std is None else f"{between}{_number(found.std, name)}"
    return f"{_number(found.mean, name)}{std}"


def _difference(line: Line, name: str) -> str:
    found: Difference | None = line.differences.get(name)
    if found is None:
        return "-"
    interval = f" [{_number(found.low, name, '+')}, {_number(found.high, name, '+')}]" if found.low is not None else ""
    return f"{_number(found.mean, name, '+')}{interval}"


def _number(value: float | None, name: str, sign: str = "") -> str:
    """Return an accuracy in percent, another metric unchanged."""
    if value is None:
        return "-"
    return f"{value:{sign}.4f}" if name.startswith(NATURAL) else f"{100 * value:{sign}.2f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    return "\n".join([line(rows[0]), "  ".join("-" * width for width in widths), *map(line, rows[1:])])


def _escaped(cell: str) -> str:
    """Return a cell escaped for LaTeX, except for the sign between mean and standard deviation."""
    parts = cell.split(r" $\pm$ ")
    for char in "\\&%$#_{}":
        replacement = r"\textbackslash " if char == "\\" else f"\\{char}"
        parts = [part.replace(char, replacement) for part in parts]
    return r" $\pm$ ".join(parts)
