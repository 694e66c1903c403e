"""Sections about classes: the table, the confusion matrix, and the most confused pairs."""

from typing import Any

import numpy as np

from longtail.reporting.record import RunRecord

PAIRS, AT_LEAST = 10, 2  # largest number of pairs, and images of each
NOT_EVALUATED = "The run has no evaluation folder. Run `longtail valid {run}` and write the report again."
NO_MATRIX = "The evaluation has no confusion matrix, or it is damaged; none is written for more than 20,000 classes."


def class_names(record: RunRecord) -> list[str]:
    """Return the names of the classes, (C,), from the evaluation; empty if there are none."""
    names = [row.get("name") or "" for row in record.classes or []]
    if not any(names):
        stored = (record.metrics or {}).get("class_names") or record.results.get("class_names") or []
        names = [str(name) for name in stored] if isinstance(stored, list) else []
    return names if any(names) else []


def class_table(record: RunRecord) -> dict[str, Any] | str:
    """Return the columns of the table of classes, each (C,): numbers, or None for an undefined ratio."""
    if record.classes is None:
        return NOT_EVALUATED
    rows, names = record.classes, class_names(record)
    return {
        "name": names if len(names) == len(rows) else [],
        "group": [row.get("group", "") for row in rows],
        "train": [_number(row.get("training_images")) for row in rows],
        "test": [_number(row.get("test_images")) for row in rows],
        "recall": [_number(row.get("recall")) for row in rows],
        "precision": [_number(row.get("precision")) for row in rows],
    }


def sparse_confusion(record: RunRecord) -> dict[str, Any] | str:
    """Return the cells of the confusion matrix that are not zero."""
    if record.confusion is None:
        return NO_MATRIX if record.evaluation else NOT_EVALUATED
    true, predicted = np.nonzero(record.confusion)
    return {
        "size": len(record.confusion),
        "true": true.tolist(),
        "predicted": predicted.tolist(),
        "count": record.confusion[true, predicted].tolist(),
    }


def confused_pairs(record: RunRecord) -> list[list[int]] | str:
    """Return [true class, predicted class, count] of the largest off-diagonal cells, the largest first.

    A pair of one image is no pattern and is omitted.
    """
    if record.confusion is None:
        return NO_MATRIX if record.evaluation else NOT_EVALUATED
    true, predicted = np.nonzero(record.confusion)
    wrong = (true != predicted) & (record.confusion[true, predicted] >= AT_LEAST)
    true, predicted = true[wrong], predicted[wrong]
    counts = record.confusion[true, predicted]
    support = record.confusion.sum(axis=1)[true]
    order = np.lexsort((-counts / support, -counts))[:PAIRS]  # of equal counts, the largest fraction first
    return [[int(true[i]), int(predicted[i]), int(counts[i])] for i in order]


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return None if value != value else value
