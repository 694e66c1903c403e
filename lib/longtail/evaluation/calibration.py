"""Calibration: agreement of confidence and accuracy (expected calibration error), and likelihood of the labels."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtail.evaluation.confusion import Integers
from longtail.precision import in_float32

BINS = 15
UNIT = 2**40  # confidences are summed as integers in this unit, so that no sum depends on the order of the samples


def calibration_error(probabilities: Tensor | np.ndarray[Any, Any], labels: Integers, bins: int = BINS) -> float:
    """Return the expected calibration error of the top-1 confidence (Guo et al., ICML 2017, arXiv 1706.04599, eq. 3).

    Predictions are put into bins of equal width by their confidence, bin m holding ((m - 1) / M, m / M]. The error is
    the mean over the samples of |accuracy - mean confidence| of their bin.

    Args:
        probabilities: Probabilities of the classes, (N, C), N >= 1.
        labels: True classes, (N,).
        bins: Number of bins M.

    Returns:
        A value in [0, 1].

    Raises:
        ValueError: A shape does not fit, there are no samples, or `bins` is not positive.
    """
    given = in_float32(torch.as_tensor(probabilities).detach())
    true = torch.as_tensor(labels).detach().to(given.device)
    if given.dim() != 2 or true.shape != given.shape[:1] or not len(given):
        raise ValueError(f"probabilities {tuple(given.shape)} and labels {tuple(true.shape)} must be (N, C) and (N,)")
    if bins < 1:
        raise ValueError(f"a calibration error needs at least one bin, not {bins}")
    confidence, prediction = given.max(dim=1)
    cells, confidence = bin_of(confidence, bins), confidence.double()
    sums = torch.zeros(3, bins, dtype=torch.float64, device=given.device)
    for row, amounts in zip(
        sums, (torch.ones_like(confidence), (prediction == true).double(), confidence), strict=True
    ):
        row.index_add_(0, cells, amounts)
    return error_of_bins(*sums.cpu())


def bin_of(confidence: Tensor, bins: int) -> Tensor:
    """Return the bin 0..bins-1 of each confidence (...); a confidence on a boundary belongs to the lower bin.

    The boundaries are rounded to the type of the confidences, so that 0.2 in float32 is on one of five bins.
    """
    inner = torch.arange(1, bins, dtype=torch.float64, device=confidence.device) / bins
    return torch.bucketize(confidence, inner.to(confidence.dtype))


def error_of_bins(samples: Tensor, correct: Tensor, confidence: Tensor) -> float:
    """Return the calibration error of sums per bin, each (bins,) float64: samples, correct ones, confidences."""
    return float((correct - confidence).abs().sum() / samples.sum())


class Likelihoods:
    """Sums over samples, per row (an expert or the ensemble) and group of classes: confidence bins and likelihood.

    Args:
        rows: Number of rows R.
        groups: Number of groups G.
        device: Device of the sums.
        bins: Number of confidence bins M.

    Attributes:
        cells: Samples, correct predictions and confidences (in `UNIT`) of each bin, (R, G, M, 3) int64.
        nll: Negative log-likelihood of the labels, (R, G) float64.
    """

    def __init__(self, rows: int, groups: int, *, device: torch.device | str = "cpu", bins: int = BINS) -> None:
        self.bins = bins
        self.cells = torch.zeros(rows, groups, bins, 3, dtype=torch.int64, device=device)
        self.nll = torch.zeros(rows, groups, dtype=torch.float64, device=device)

    def to(self, device: torch.device | str) -> None:
        """Move the sums to a device."""
        self.cells, self.nll = self.cells.to(device), self.nll.to(device)

    def update(self, logits: Tensor, labels: Tensor, *, group: Tensor, known: Tensor, predictions: Tensor) -> None:
        """Add a batch, without a host sync.

        Args:
            logits: (R, B, C) float32 or float64.
            labels: True classes, (B,), in 0..C-1.
            group: Group of each label, (B,).
            known: Whether a sample is counted, (B,).
            predictions: Predicted classes, (R, B).
        """
        rows, groups = self.nll.shape
        logs = logits.log_softmax(dim=-1)
        nll = -logs.gather(-1, labels.expand(rows, -1)[..., None])[..., 0]
        confidence = logs.amax(dim=-1).exp().nan_to_num(0)
        member = (group[:, None] == torch.arange(groups, device=group.device)) & known[:, None]
        # A sum over a mask, not a scatter: atomic additions of floats would depend on their order.
        self.nll += torch.where(member, nll.double()[..., None], 0).sum(dim=1)
        row = torch.arange(rows, device=group.device)[:, None]
        place = (row * groups + group) * self.bins + bin_of(confidence, self.bins)
        amounts = torch.stack(
            [torch.ones_like(predictions), predictions == labels, (confidence.double() * UNIT).round().long()], dim=-1
        )
        self.cells.view(-1, 3).index_add_(0, place.flatten(), (amounts * known[:, None]).flatten(0, 1))

    def metrics(self, row: int, groups: dict[str, list[int]]) -> dict[str, float]:
        """Return {"nll_<name>", "ece_<name>"} for sets of groups that have samples; "nll" and "ece" for name "".

        Args:
            row: Expert or ensemble.
            groups: Name -> indices of the groups to sum.
        """
        cells, nll = self.cells[row].cpu().double(), self.nll[row].cpu()
        found: dict[str, float] = {}
        for name, indices in groups.items():
            samples, correct, confidence = cells[indices].sum(dim=0).T
            if float(samples.sum()):
                suffix = f"_{name}" if name else ""
                found[f"nll{suffix}"] = float(nll[indices].sum() / samples.sum())
                found[f"ece{suffix}"] = error_of_bins(samples, correct, confidence / UNIT)
        return found
