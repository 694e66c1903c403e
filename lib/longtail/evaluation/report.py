"""Reports as files and on the console: tables, one line per class, one line per expert."""

import csv
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from longtail.evaluation.classes import Classes
from longtail.evaluation.confusion import ConfusionMatrix, Integers
from longtail.evaluation.shots import GROUPS, counts_list
from longtail.evaluation.tallies import PerClass
from longtail.files import atomic_write
from longtail.user_files import translating

COLUMNS = ("class", "name", "group", "training_images", "test_images", "correct", "recall", "precision")
# Metrics of the second line on the console, and their names there.
FURTHER = (
    ("balanced_accuracy", "balanced accuracy"),
    ("macro_f1", "macro-F1"),
    ("worst_class", "worst class"),
    ("ece", "calibration error"),
)
# A column is an accuracy when its last word is one of these: "top1", "ensemble.many", "best few".
ACCURACY = re.compile(
    r"(^|[^A-Za-z0-9])(top\d+|all|many|medium|few|accuracy|recall|precision|f1|worst_class|lowest_tenth|harmonic_mean|geometric_mean|ece)$"
)


def write_per_class(path: str | os.PathLike[str], cm: PerClass, classes: Classes) -> None:
    """Write a CSV file with one line per class.

    The recall of a class without test images and the precision of a class that was never predicted are undefined; their
    cells are empty.

    Args:
        path: File to write.
        cm: Counted predictions over C classes.
        classes: The classes; without names the cells are empty.

    Raises:
        ValueError: There are not C classes.
    """
    classes.check(cm.num_classes)
    names = classes.names or [""] * cm.num_classes
    group = {index: name for name, members in classes.groups().items() for index in members}
    support, predicted, correct = cm.support(), cm.predicted(), cm.correct()
    recall, precision = cm.recall(), cm.precision()
    with translating(path, "table"), atomic_write(path, "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for index in range(cm.num_classes):
            table.writerow(
                [
                    index,
                    names[index],
                    group[index],
                    classes.counts[index],
                    support[index],
                    correct[index],
                    f"{recall[index]:.6f}" if support[index] else "",
                    f"{precision[index]:.6f}" if predicted[index] else "",
                ]
            )


def write_confusion_npz(path: str | os.PathLike[str], cm: ConfusionMatrix, *, class_counts: Integers) -> None:
    """Write the raw counts as a compressed NumPy archive with the arrays `confusion` and `class_counts`.

    Args:
        path: File to write; its suffix is not changed.
        cm: Counted predictions; `confusion` is int64 (C, C), a row per true class.
        class_counts: Training images per class, (C,).

    Raises:
        ValueError: `class_counts` does not have C entries.
    """
    counts = np.asarray(counts_list(class_counts, cm.num_classes), dtype=np.int64)
    with translating(path, "table"), atomic_write(path) as file:
        np.savez_compressed(file, confusion=cm.matrix.cpu().numpy(), class_counts=counts)


def results_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as an aligned plain-text table.

    Accuracies (columns whose last word matches `ACCURACY`) are fractions and are shown in percent with 2 decimals. A
    missing value, None or NaN is shown as "-".

    Args:
        rows: One mapping per line; the columns are their keys in order of first appearance.

    Returns:
        The table without a line break at the end; empty without rows.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if not columns:
        return ""
    cells = [[_cell(column, row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    words = [any(isinstance(row.get(column), str) for row in rows) for column in columns]

    def aligned(line: Sequence[str]) -> str:
        parts = zip(line, widths, words, strict=True)
        return "  ".join(text.ljust(w) if word else text.rjust(w) for text, w, word in parts).rstrip()

    return "\n".join([aligned(columns), "  ".join("-" * width for width in widths), *map(aligned, cells)])


def summary(results: Mapping[str, Any]) -> list[str]:
    """Return the results of an `Evaluator` as console lines: the ensemble, then, if there are several, the experts.

    The second line has further metrics of the ensemble, most of which weight small classes more than top-1 does.
    """
    lines = {"ensemble": results["ensemble"]}
    if len(results["experts"]) > 1:
        lines |= {f"expert {i}": values for i, values in enumerate(results["experts"], start=1)}
    width = max(map(len, lines))
    keys = [key for key in results["ensemble"] if re.fullmatch(r"top\d+", key)]
    keys += [key for key in GROUPS if key in results["ensemble"]]
    out = []
    for name, values in lines.items():
        parts = [f"{key} {_percent(values[key]):>6} %" for key in keys if key in values]
        if name == "ensemble" and "loss" in results:
            parts.append(f"loss {results['loss']:.4f}")
        out.append(f"{name:<{width}}  {'  '.join(parts) if parts else 'no samples'}")
    if all(key in results["ensemble"] for key, _ in FURTHER):
        further = [f"{words} {_percent(results['ensemble'][key])} %" for key, words in FURTHER]
        out.insert(1, f"{'':<{width}}  {', '.join(further)}")
    return out


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def _cell(column: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if ACCURACY.search(column):
        return _percent(value)
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"
