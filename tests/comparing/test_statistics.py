"""Mean, standard deviation and bootstrap interval."""

import itertools
import statistics
from typing import Any

import numpy as np
import pytest

from longtail.comparing.statistics import estimate, paired_difference


def test_estimate_equals_the_standard_library() -> None:
    values = [0.81, 0.84, 0.80, 0.83]
    found = estimate(values)
    assert found is not None
    assert found.mean == pytest.approx(statistics.mean(values))
    assert found.std == pytest.approx(statistics.stdev(values))
    assert found.n == 4


def test_estimate_of_one_value_and_of_none() -> None:
    assert estimate([0.5]) == (0.5, None, 1)
    assert estimate([]) is None


def test_paired_difference_interval_matches_all_resamples() -> None:
    values, baseline = [0.80, 0.83, 0.86, 0.82, 0.81], [0.79, 0.80, 0.84, 0.83, 0.77]
    differences = np.subtract(values, baseline)
    means = [np.mean(sample) for sample in itertools.product(differences, repeat=5)]
    low, high = np.quantile(means, [0.025, 0.975])
    found = paired_difference(values, baseline)
    assert found is not None
    assert found.mean == pytest.approx(differences.mean())
    assert found.low == pytest.approx(low, abs=1.5e-3)
    assert found.high == pytest.approx(high, abs=1.5e-3)


def test_paired_difference_ignores_what_pairs_share() -> None:
    baseline = [0.2, 0.5, 0.9]
    found: Any = paired_difference([value + 0.01 for value in baseline], baseline)
    assert found == (pytest.approx(0.01), pytest.approx(0.01), pytest.approx(0.01), 3)


def test_paired_difference_is_the_same_every_time() -> None:
    assert paired_difference([1, 2, 4], [0, 0, 0]) == paired_difference([1, 2, 4], [0, 0, 0])


def test_paired_difference_of_one_pair_and_of_none() -> None:
    found: Any = paired_difference([0.5], [0.4])
    assert found == (pytest.approx(0.1), None, None, 1)
    assert paired_difference([], []) is None
