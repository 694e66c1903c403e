"""Acceptance: the accuracies that trainings must reproduce, from records.

Rounding differs between machines, which has the effect of another seed. So the tolerance is derived from the spread
over seeds: it detects a loss with the wrong sign or the wrong targets, but no loss of accuracy below that spread.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from longtail.errors import UserError
from tools.small_runs.records import SmallRecord
from tools.small_runs.rows import Row

MEASURES = ("top1", "few")
DEVIATIONS = 4.0  # tolerance in standard deviations of the records
LEAST = 0.03  # smallest tolerance


@dataclass(frozen=True)
class Expected:
    """Expected accuracy of a row.

    Attributes:
        row: Name of the row.
        measure: top1 or few.
        mean: Accuracy, a fraction.
        tolerance: Largest difference from it.
        seeds: Number of records from which they are computed.
    """

    row: str
    measure: str
    mean: float
    tolerance: float
    seeds: int

    def allows(self, value: float) -> bool:
        """Return whether an accuracy is within the tolerance."""
        return abs(value - self.mean) <= self.tolerance


def expectations(rows: Sequence[Row], records: Sequence[SmallRecord]) -> list[Expected]:
    """Return the expected accuracies of the accepted rows: the mean of their records ± 4 standard deviations.

    The tolerance is at least 0.03.

    Raises:
        UserError: An accepted row has fewer than two records.
    """
    expected = []
    for row in rows:
        runs = [record for record in records if record.is_of(row)] if row.accepted else []
        if row.accepted and len(runs) < 2:
            raise UserError(
                f"{row.name} has {len(runs)} records, but at least 2 are needed; train it with tools/leaderboard.py"
            )
        for measure in MEASURES if runs else ():
            values = [run.accuracies[measure] for run in runs if measure in run.accuracies]
            if len(values) > 1:
                tolerance = max(DEVIATIONS * statistics.stdev(values), LEAST)
                mean = statistics.fmean(values)
                expected.append(Expected(row.name, measure, round(mean, 4), round(tolerance, 4), len(values)))
    return expected


def write_expectations(expected: Sequence[Expected], path: Path) -> None:
    """Write expectations to a YAML file."""
    head = "# Written by tools/acceptance.py --make from docs/leaderboard: fractions after the last epoch.\n"
    path.write_text(head + yaml.safe_dump([asdict(each) for each in expected], sort_keys=False), encoding="utf-8")


def read_expectations(path: Path) -> list[Expected]:
    """Read expectations.

    Raises:
        UserError: The file is malformed.
    """
    try:
        return [Expected(**entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]
    except (OSError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not a file of expectations: {error}") from None


def check_again(
    rows: Mapping[str, Row], expected: Sequence[Expected], *, train: Callable[[Row], SmallRecord]
) -> list[tuple[Expected, float]]:
    """Train each expected row once; return the expectations that are not met, with the accuracy reached.

    Prints one line per expectation.

    Raises:
        UserError: A row does not exist.
    """
    missing = [each.row for each in expected if each.row not in rows]
    if missing:
        raise UserError(f"no row {missing[0]!r} in the leaderboard; write the expectations again with --make")
    reached = {name: train(rows[name]).accuracies for name in dict.fromkeys(each.row for each in expected)}
    failed = []
    for each in expected:
        value = reached[each.row].get(each.measure, 0.0)
        verdict = "ok" if each.allows(value) else "FAILED"
        print(f"{each.row} {each.measure}: {value:.4f}, expected {each.mean:.4f} +- {each.tolerance:.4f}: {verdict}")
        if not each.allows(value):
            failed.append((each, value))
    return failed
