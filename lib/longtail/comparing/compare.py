"""Compare finished runs: mean and standard deviation over seeds, paired differences to a baseline, keys that differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longtail.comparing.runs import (
    FinishedRun,
    Group,
    check_same_images,
    differing_keys,
    find_runs,
    group_runs,
)
from longtail.comparing.statistics import Difference, Estimate, estimate, paired_difference
from longtail.errors import UserError
from longtail.evaluation import GROUPS
from longtail.registry import nearest

METRICS = ("top1", *GROUPS)


@dataclass(frozen=True)
class Line:
    """One group of runs.

    Attributes:
        label: Name of the group.
        seeds: Its seeds; in a cross-validation, `seed/fold`.
        metrics: Mean and standard deviation of each metric; None if no run has it.
        differences: Paired difference of each metric to the baseline; {} for the baseline itself.
        parameters: Number of parameters.
        hours: Mean duration of a run.
        keys: Values of the keys in which the groups differ.
    """

    label: str
    seeds: list[int | str]
    metrics: Mapping[str, Estimate | None]
    differences: Mapping[str, Difference | None]
    parameters: int
    hours: float
    keys: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Groups of runs side by side.

    Attributes:
        lines: The groups, the baseline first.
        metrics: Names of the metrics.
        moment: Evaluation that is compared, "last" or "best".
        skipped: Run directories that are not finished.
        over: What is averaged: "seeds" or, in a cross-validation, "folds".
    """

    lines: list[Line]
    metrics: list[str]
    moment: str
    skipped: list[str]
    over: str


def compare(
    paths: Sequence[str], *, baseline: str = "", metrics: Sequence[str] = METRICS, moment: str = "last"
) -> Comparison:
    """Compare the ensembles of the finished runs at or below paths.

    Args:
        paths: Run directories, or folders of them.
        baseline: Label of the group with which the others are compared; empty: the group of the first run.
        metrics: Names of metrics in results.json; those that no run has are omitted.
        moment: "last": the evaluation after the last epoch; "best": that of the best epoch, which is chosen on the
            images that are reported.

    Raises:
        UserError: There are no finished runs, they were evaluated on different images, or no group has that label.
    """
    runs, unfinished = find_runs(paths)
    check_same_images(runs)
    groups = group_runs(runs)
    labels = [group.label for group in groups]
    if baseline and baseline not in labels:
        raise UserError(
            f"--baseline {baseline!r} is not a group; available: {', '.join(labels)}{nearest(baseline, labels)}"
        )
    first = labels.index(baseline) if baseline else 0
    groups.insert(0, groups.pop(first))
    found = [name for name in metrics if any(name in _ensemble(run, moment) for run in runs)]
    if not found:
        known = sorted({name for run in runs for name in _ensemble(run, moment)})
        raise UserError(f"no run has the metric {', '.join(metrics)}; available: {', '.join(known)}")
    keys = differing_keys([group.values for group in groups])
    lines = [_line(group, groups[0], metrics=found, moment=moment, keys=keys) for group in groups]
    over = "folds" if any(run.fold for run in runs) else "seeds"
    return Comparison(lines, found, moment, [str(path) for path in unfinished], over)


def _line(group: Group, baseline: Group, *, metrics: Sequence[str], moment: str, keys: Sequence[str]) -> Line:
    """Return the line of a group."""
    runs = list(group.runs.values())
    differences: dict[str, Difference | None] = {}
    if group is not baseline:
        for name in metrics:
            pairs = [
                (_ensemble(run, moment)[name], _ensemble(baseline.runs[which], moment)[name])
                for which, run in group.runs.items()
                if which in baseline.runs
                and name in _ensemble(run, moment)
                and name in _ensemble(baseline.runs[which], moment)
            ]
            differences[name] = paired_difference([mine for mine, _ in pairs], [other for _, other in pairs])
    measured = {
        name: estimate([_ensemble(run, moment)[name] for run in runs if name in _ensemble(run, moment)])
        for name in metrics
    }
    hours = sum(float(run.results.get("seconds", 0)) for run in runs) / len(runs) / 3600
    parameters = int(runs[0].results.get("parameters", 0))
    values = {name: group.values[name] for name in keys}
    seeds = [f"{seed}/{fold}" if fold else seed for seed, fold in group.runs]
    return Line(group.label, seeds, measured, differences, parameters, hours, values)


def _ensemble(run: FinishedRun, moment: str) -> Mapping[str, float]:
    """Return the metrics of the ensemble in the last or best evaluation."""
    metrics: Mapping[str, float] = (run.results.get(moment) or {}).get("ensemble", {})
    return metrics
