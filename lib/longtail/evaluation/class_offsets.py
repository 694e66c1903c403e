"""Decision thresholds per class: offsets that are added to the logits before the largest one is predicted."""

from typing import NamedTuple

import torch
from torch import Tensor

OBJECTIVES = ("macro_f1", "balanced_accuracy")
STEP, STEPS = 0.1, 30  # offsets that are tried: multiples of STEP from -STEPS * STEP to STEPS * STEP
SUPPORT = 5  # classes with fewer images keep the offset 0
ROUNDS = 10
GAIN = 1e-9  # smaller differences count as ties


def fit_class_offsets(logits: Tensor, labels: Tensor, objective: str) -> list[float]:
    """Return offsets b (C values) that maximize an objective of the predictions argmax_c z_c + b_c.

    Coordinate ascent from b = 0: for one class after the other, b_c is set to the best multiple of 0.1 in [-3, 3] while
    the others are fixed; of ties, the current value, else the one nearest to 0. It ends after a round without a change,
    or after ten rounds. Classes with fewer than five images keep 0.

    Args:
        logits: z, (N, C).
        labels: True classes, (N,).
        objective: "macro_f1" or "balanced_accuracy", see `class_metrics`.
    """
    classes = logits.shape[1]
    if classes == 1:
        return [0.0]
    offsets = torch.zeros(classes, dtype=torch.float64)
    ranking = _Ranking(logits.double())
    support = torch.bincount(labels, minlength=classes)
    grid = (torch.arange(-STEPS, STEPS + 1, dtype=torch.float64) * STEP)[_nearest_first()]
    for _ in range(ROUNDS):
        changed = False
        for label in range(classes):
            if support[label] < SUPPORT:
                continue
            candidates = torch.cat([offsets[label : label + 1], grid])
            values = _objective(ranking.predictions(label, candidates), labels, support, objective)
            best = int((values > values.max() - GAIN).nonzero()[0])  # the current value comes first
            if best:
                offsets[label] = candidates[best]
                ranking.set_offset(label, candidates[best])
                changed = True
        if not changed:
            break
    return [round(value, 6) for value in offsets.tolist()]


def _nearest_first() -> Tensor:
    """Return the order of the grid by distance from 0."""
    return torch.arange(-STEPS, STEPS + 1).abs().argsort(stable=True)


def _objective(predictions: Tensor, labels: Tensor, support: Tensor, name: str) -> Tensor:
    """Return the objective of G predictions (G, N) of the same samples, (G,) float64."""
    rows, classes = len(predictions), len(support)
    cells = predictions + classes * torch.arange(rows)[:, None]
    predicted = torch.bincount(cells.flatten(), minlength=rows * classes).view(rows, classes).double()
    right = torch.where(predictions == labels, cells, rows * classes)  # wrong ones are counted in an extra cell
    correct = torch.bincount(right.flatten(), minlength=rows * classes + 1)[:-1].view(rows, classes).double()
    if name == "balanced_accuracy":
        tested = support > 0
        return (correct[:, tested] / support[tested]).mean(dim=1)
    occurring = predicted + support
    return (2 * correct / occurring.clamp_min(1)).sum(dim=1) / (occurring > 0).sum(dim=1)


class _Top(NamedTuple):
    values: Tensor
    indices: Tensor


class _Ranking:
    """Scores z + b with the two best classes of every sample.

    Args:
        logits: z, (N, C); a copy is kept.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.scores = logits.clone()
        self.top = _Top(*self.scores.topk(2, dim=1))

    def predictions(self, label: int, offsets: Tensor) -> Tensor:
        """Return the predictions (G, N) with each of G offsets of one class."""
        second = (self.top.indices[:, 0] == label).long()[:, None]
        other = self.top.indices.gather(1, second)[:, 0]
        wins = self.logits[:, label] + offsets[:, None] > self.top.values.gather(1, second)[:, 0]
        return torch.where(wins, label, other)

    def set_offset(self, label: int, offset: Tensor) -> None:
        """Change the offset of one class; only samples that it may affect are ranked again."""
        self.scores[:, label] = self.logits[:, label] + offset
        rows = (self.top.indices == label).any(dim=1) | (self.scores[:, label] >= self.top.values[:, 1])
        values, indices = self.scores[rows].topk(2, dim=1)
        self.top.values[rows], self.top.indices[rows] = values, indices
