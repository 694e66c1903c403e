"""Counts of each class: samples, predictions, and correct predictions."""

from abc import ABC, abstractmethod

from torch import Tensor


class PerClass(ABC):
    """Counts over C classes, and the recall and precision of each.

    Attributes:
        num_classes: Number of classes C.
    """

    num_classes: int

    @abstractmethod
    def support(self) -> list[int]:
        """Return the number of samples of each true class, (C,)."""

    @abstractmethod
    def predicted(self) -> list[int]:
        """Return how often each class was predicted, (C,)."""

    @abstractmethod
    def correct(self) -> list[int]:
        """Return the number of correctly predicted samples of each class, (C,)."""

    def recall(self) -> list[float]:
        """Return correct / samples of each class, (C,); 0 without samples (see `support`)."""
        return _ratios(self.correct(), self.support())

    def precision(self) -> list[float]:
        """Return correct / predictions of each class, (C,); 0 if it was never predicted (see `predicted`)."""
        return _ratios(self.correct(), self.predicted())


class Tallies(PerClass):
    """Counts without a confusion matrix, whose size is C².

    Args:
        counts: Samples, correct predictions and predictions of each class, (3, C) integers.
    """

    def __init__(self, counts: Tensor) -> None:
        self.num_classes = counts.shape[1]
        self._support, self._correct, self._predicted = counts.tolist()

    def support(self) -> list[int]:
        """See `PerClass.support`."""
        return list(self._support)

    def predicted(self) -> list[int]:
        """See `PerClass.predicted`."""
        return list(self._predicted)

    def correct(self) -> list[int]:
        """See `PerClass.correct`."""
        return list(self._correct)


def _ratios(parts: list[int], totals: list[int]) -> list[float]:
    return [part / total if total else 0.0 for part, total in zip(parts, totals, strict=True)]
