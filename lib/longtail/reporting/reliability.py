"""The section on calibration: accuracy and confidence by bins of the confidence."""

from typing import Any

import numpy as np
import torch

from longtail.evaluation.calibration import BINS, bin_of
from longtail.reporting.record import RunRecord

NO_SAMPLES = "The evaluation has no samples.npz. Run `longtail valid {run}` and write the report again."


def reliability(record: RunRecord) -> dict[str, Any] | str:
    """Return the bins of the reliability diagram of the ensemble, and the expected calibration error.

    The bins are those of `calibration_error`.
    """
    samples = record.samples
    if samples is None or not len(samples.label):
        return NO_SAMPLES
    confidence = samples.confidence[-1].astype(np.float64)
    correct = samples.prediction[-1] == samples.label
    cells = bin_of(torch.from_numpy(np.ascontiguousarray(samples.confidence[-1])), BINS).numpy()
    counts = np.bincount(cells, minlength=BINS)
    sums = [np.bincount(cells, weights=weights, minlength=BINS) for weights in (correct, confidence)]
    error = np.abs(sums[0] - sums[1]).sum() / len(confidence)
    bins = [
        {"samples": int(number), "accuracy": float(right / number), "confidence": float(sure / number)}
        if number
        else {"samples": 0}
        for number, right, sure in zip(counts, *sums, strict=True)
    ]
    return {
        "bins": bins,
        "error": float(error),
        "confidence": float(confidence.mean()),
        "accuracy": float(correct.mean()),
    }
