"""Mean, standard deviation, and the bootstrap interval of a paired difference."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

DRAWS = 10_000
LEVEL = 0.95


class Estimate(NamedTuple):
    """Mean of several runs.

    Attributes:
        mean: Mean.
        std: Standard deviation with n - 1 in the denominator; None for one run.
        n: Number of runs.
    """

    mean: float
    std: float | None
    n: int


class Difference(NamedTuple):
    """Mean of paired differences.

    Attributes:
        mean: Mean.
        low: Lower end of the 95 % interval; None for one pair.
        high: Upper end.
        n: Number of pairs.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return mean and standard deviation; None without values."""
    if not values:
        return None
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Estimate(float(np.mean(values)), std, len(values))


def paired_difference(values: Sequence[float], baseline: Sequence[float], *, seed: int = 0) -> Difference | None:
    """Return the mean of values - baseline, pair by pair, with its percentile bootstrap interval; None without pairs.

    The interval contains the middle 95 % of the means of 10,000 resamples of the pairs (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, chapter 13). With few pairs it is too narrow.

    Args:
        values: One value per pair, (n,).
        baseline: One value per pair, (n,).
        seed: Seed of the resamples.
    """
    differences = np.subtract(values, baseline)
    n = len(differences)
    if n == 0:
        return None
    if n == 1:
        return Difference(float(differences[0]), None, None, 1)
    drawn = np.random.default_rng(seed).integers(0, n, (DRAWS, n))
    low, high = np.quantile(differences[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(float(differences.mean()), float(low), float(high), n)
