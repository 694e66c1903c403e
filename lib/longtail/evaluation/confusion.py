"""The confusion matrix: which classes are predicted as which."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtail.evaluation.tallies import PerClass

Integers = Sequence[int] | np.ndarray[Any, Any] | Tensor


class ConfusionMatrix(PerClass):
    """Counts of (true class, predicted class) pairs.

    `matrix` is an int64 tensor (C, C) with a row per true class and a column per predicted class. It is on the device
    of the tensors with which it is updated.

    Args:
        num_classes: Number of classes C.

    Raises:
        ValueError: `num_classes` is not positive.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ValueError(f"a confusion matrix needs at least one class, not {num_classes}")
        self.num_classes = int(num_classes)
        self.matrix = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)

    @classmethod
    def from_matrix(cls, matrix: Tensor | np.ndarray[Any, Any]) -> "ConfusionMatrix":
        """Return a confusion matrix with a copy of existing counts.

        Args:
            matrix: Integers (C, C), a row per true class.

        Raises:
            ValueError: The counts are not square, not integers, or negative.
        """
        counts = _integers(matrix, "matrix")
        if counts.dim() != 2 or counts.shape[0] != counts.shape[1]:
            raise ValueError(f"a confusion matrix must be square, not {tuple(counts.shape)}")
        if bool((counts < 0).any()):
            raise ValueError("a confusion matrix must not have negative counts")
        made = cls(counts.shape[0])
        made.matrix = counts.clone()
        return made

    def update(self, predictions: Integers, labels: Integers) -> None:
        """Count one more batch of predictions.

        Args:
            predictions: (B,) predicted classes, integers in 0..C-1.
            labels: (B,) true classes, integers in 0..C-1.

        Raises:
            ValueError: The shapes differ, values are not integers, or a class is out of range; nothing is counted.
        """
        predicted = _integers(predictions, "predictions")
        true = _integers(labels, "labels")
        if predicted.shape != true.shape:
            raise ValueError(f"predictions {tuple(predicted.shape)} and labels {tuple(true.shape)} differ in shape")
        if predicted.numel() == 0:
            return
        # A list or an array is moved to the device of the other tensor.
        device = predicted.device if isinstance(predictions, Tensor) else true.device
        predicted, true = predicted.to(device).reshape(-1), true.to(device).reshape(-1)
        for name, values in (("predictions", predicted), ("labels", true)):
            low, high = (int(value) for value in torch.aminmax(values))
            if low < 0 or high >= self.num_classes:
                bad = low if low < 0 else high
                raise ValueError(f"{name} hold class {bad}; allowed: 0..{self.num_classes - 1}")
        self.matrix = self.matrix.to(device)
        add_pairs(self.matrix, true, predicted, torch.ones_like(true))

    def merge(self, other: "ConfusionMatrix") -> None:
        """Add the counts of another matrix, of other samples, to this one.

        Raises:
            ValueError: The two have different numbers of classes.
        """
        if other.num_classes != self.num_classes:
            raise ValueError(f"cannot merge {other.num_classes} classes into {self.num_classes}")
        self.matrix = self.matrix + other.matrix.to(self.matrix.device)

    def support(self) -> list[int]:
        """See `PerClass.support`."""
        return self.matrix.sum(dim=1).tolist()

    def predicted(self) -> list[int]:
        """See `PerClass.predicted`."""
        return self.matrix.sum(dim=0).tolist()

    def correct(self) -> list[int]:
        """See `PerClass.correct`."""
        return self.matrix.diagonal().tolist()

    def accuracy(self) -> float | None:
        """Return the fraction of correct predictions; None if nothing was counted."""
        total = int(self.matrix.sum())
        return int(self.matrix.diagonal().sum()) / total if total else None


def add_pairs(matrix: Tensor, rows: Tensor, columns: Tensor, amounts: Tensor) -> None:
    """Add `amounts` (B,) to the cells (rows, columns) of a contiguous integer `matrix` (R, C), in place.

    The cost depends only on B; a bincount would visit all cells for every batch (66 million for 8142 classes) and, on a
    GPU, synchronize with the host.
    """
    matrix.view(-1).index_add_(0, rows * matrix.shape[1] + columns, amounts.to(matrix.dtype))


def _integers(values: Integers, name: str) -> Tensor:
    tensor = torch.as_tensor(values)
    if tensor.numel() == 0:  # an empty list has no type to check
        return tensor.long()
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise ValueError(f"{name} must be integers, not {tensor.dtype}")
    return tensor.detach().long()
