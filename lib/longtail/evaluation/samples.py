"""The predictions for every sample, from which reports compute mistakes, calibration and agreement."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from longtail.evaluation.ensemble import ensemble_logits
from longtail.files import atomic_write
from longtail.user_files import translating

Array = np.ndarray[Any, Any]


class Samples(NamedTuple):
    """Predictions for N samples, in the order of their indices; R rows: the experts, then the ensemble.

    Attributes:
        index: Positions in the split, (N,).
        label: True classes, (N,).
        prediction: Classes with the largest logit, (R, N).
        confidence: Softmax probabilities of these classes, (R, N).
        label_probability: Softmax probabilities of the true classes, (R, N).
    """

    index: Array  # type: ignore[assignment]  # a field of this name hides the method of tuples
    label: Array
    prediction: Array
    confidence: Array
    label_probability: Array


class SampleRecorder:
    """Keeps the predictions of every batch on the device of the logits, without waiting for it.

    Args:
        members: Experts in the ensemble, see `ensemble_heads`.
    """

    def __init__(self, members: Sequence[int]) -> None:
        self.members = tuple(members)
        self._batches: list[Samples] = []

    def update(self, logits: Tensor, labels: Tensor, indices: Tensor) -> None:
        """Add a batch.

        Args:
            logits: Raw scores of every expert, (E, B, C).
            labels: True classes, (B,).
            indices: Positions of the samples in the split, (B,).
        """
        scores = logits.detach().float()
        scores = torch.cat([scores, ensemble_logits(scores, self.members)[None]])
        prediction = scores.argmax(dim=-1)
        probabilities = scores.softmax(dim=-1)
        true = labels.to(logits.device, torch.int64).expand(len(scores), -1)
        picked = [probabilities.gather(-1, classes[..., None])[..., 0] for classes in (prediction, true)]
        self._batches.append(Samples(indices, labels, prediction, *picked))  # type: ignore[arg-type]

    def samples(self) -> Samples:
        """Return the recorded samples of this process, in main memory."""
        return join_samples([Samples(*(torch.as_tensor(field).cpu().numpy() for field in b)) for b in self._batches])


def join_samples(parts: Sequence[Samples]) -> Samples:
    """Return the samples of several batches or processes, sorted by index, each once."""
    parts = [part for part in parts if len(part.index)]
    if not parts:
        return Samples(*(np.zeros(shape) for shape in ((0,), (0,), (1, 0), (1, 0), (1, 0))))
    joined = Samples(*(np.concatenate(fields, axis=-1) for fields in zip(*parts, strict=True)))
    _, order = np.unique(joined.index, return_index=True)
    return Samples(*(field[..., order] for field in joined))


def write_samples(path: str | os.PathLike[str], samples: Samples) -> None:
    """Write predictions as a compressed NumPy archive with an array per field of `Samples`.

    Raises:
        UserError: The file cannot be written.
    """
    small = samples._replace(
        **{name: getattr(samples, name).astype(np.int32) for name in ("index", "label", "prediction")}
    )
    with translating(path, "table"), atomic_write(path) as file:
        np.savez_compressed(file, **small._asdict())


def read_samples(path: str | os.PathLike[str]) -> Samples | None:
    """Read a file of `write_samples`; None if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as content:
            samples = Samples(*(content[name] for name in Samples._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    rows = samples.prediction.shape
    fits = len(rows) == 2 and all(field.shape == rows for field in samples[3:])
    return samples if fits and samples.index.shape == samples.label.shape == rows[1:] else None
