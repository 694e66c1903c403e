"""The section on experts: their accuracies, and how often they agree."""

from typing import Any

import numpy as np

from longtail.evaluation import GROUPS
from longtail.reporting.record import RunRecord
from longtail.reporting.reliability import NO_SAMPLES


def expert_agreement(record: RunRecord) -> dict[str, Any] | str | None:
    """Return accuracy and agreement of E >= 2 experts; None for a network with one.

    Returns:
        {"agreement": (E, E) fractions of samples with equal predictions,
        "rows": [{"of": "all" or a shot group, "samples", "experts": E accuracies, "ensemble", "any": at least one
        expert is right, "every": all are right, "agree": mean agreement of two experts}]}
    """
    samples = record.samples
    if samples is None or not len(samples.label):
        return NO_SAMPLES
    predictions = samples.prediction[:-1]
    if len(predictions) < 2:
        return None
    correct = samples.prediction == samples.label
    group = np.array([row.get("group", "") for row in record.classes or []])
    rows = [_row("all", correct, predictions)]
    for name in GROUPS:
        chosen = (group == name)[samples.label] if len(group) > samples.label.max() else np.zeros(0, bool)
        if chosen.any():
            rows.append(_row(name, correct[:, chosen], predictions[:, chosen]))
    return {"agreement": _agreement(predictions).tolist(), "rows": rows}


def _agreement(predictions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the fraction of samples with equal predictions for each pair of experts, (E, E)."""
    return np.array([(predictions == row).mean(axis=1) for row in predictions])


def _row(name: str, correct: np.ndarray[Any, Any], predictions: np.ndarray[Any, Any]) -> dict[str, Any]:
    experts, pairs = correct[:-1], _agreement(predictions)[np.triu_indices(len(predictions), 1)]
    return {
        "of": name,
        "samples": correct.shape[1],
        "experts": experts.mean(axis=1).tolist(),
        "ensemble": float(correct[-1].mean()),
        "any": float(experts.any(axis=0).mean()),
        "every": float(experts.all(axis=0).mean()),
        "agree": float(pairs.mean()),
    }
