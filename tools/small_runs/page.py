"""The page of the leaderboard."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from longtail.evaluation import GROUPS
from longtail.runs.environment import short_commit
from tools.small_runs.records import SmallRecord
from tools.small_runs.rows import Row, Rows

INTRODUCTION = """\
<!-- Written by tools/leaderboard.py; edit tools/leaderboard.yaml. -->
# Digits-LT leaderboard

Methods and recipes on 276 long-tailed handwritten digits (imbalance factor 50, 797 validation images), with ResNet-32.
Accuracy of the ensemble after the last epoch in percent, mean and standard deviation over seeds; seconds of a whole
training, comparable between rows on the same hardware (named below the table). The order is evidence about this data
set only, which is far too small to rank methods elsewhere; the table guards against regressions.

    python tools/leaderboard.py --seeds 1 2 3 4 5

trains the rows without a record, and resumes after an interruption. `tools/leaderboard.yaml` lists the rows."""


def leaderboard_page(rows: Rows, records: Sequence[SmallRecord]) -> str:
    """Return the page: rows with records by accuracy, then rows not run yet, then methods that are not rows.

    Args:
        rows: Rows.
        records: Records; those with other settings are ignored.
    """
    found = {row.name: [record for record in records if record.is_of(row)] for row in rows.rows}
    lines = [INTRODUCTION, ""]
    lines += _table([row for row in rows.rows if found[row.name]], found)
    missing = ", ".join(f"`{row.name}`" for row in rows.rows if not found[row.name])
    if missing:
        lines += ["", f"Not run yet: {missing}."]
    lines += ["", "Not in the table, because they are part of other rows or do not fit these images:", ""]
    lines += [f"- `{name}`: {reason}" for name, reason in rows.left_out.items()]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row], found: dict[str, list[SmallRecord]]) -> Iterator[str]:
    if not rows:
        return
    used = [record for row in rows for record in found[row.name]]
    groups = [group for group in GROUPS if any(group in record.accuracies for record in used)]
    yield _line("", "method", "top-1", *groups, "epochs", "seconds", "seeds")
    yield "|---" * (6 + len(groups)) + "|"
    for rank, row in enumerate(sorted(rows, key=lambda row: -_mean(found[row.name], "top1")), start=1):
        runs = found[row.name]
        cells = [_cell(runs, name) for name in ("top1", *groups)]
        seconds = f"{statistics.fmean(run.seconds for run in runs):.0f}"
        yield _line(str(rank), f"`{row.name}`", *cells, str(runs[0].epochs), seconds, str(len(runs)))
    yield ""
    origins: dict[str, list[str]] = {}  # hardware and commit -> rows
    for row in rows:
        for origin in dict.fromkeys(_origin(run.environment) for run in found[row.name]):
            origins.setdefault(origin, []).append(f"`{row.name}`")
    usual, *others = sorted(origins, key=lambda origin: -len(origins[origin]))
    exceptions = (f"; {', '.join(origins[origin])} on {origin}" for origin in others)
    yield f"Measured on {usual}{''.join(exceptions)}."


def _origin(environment: dict[str, Any]) -> str:
    """Return hardware, version and commit in words."""
    devices = [device for device in environment.get("devices") or () if device != "cpu"]
    hardware = ", ".join(devices) or environment.get("processor")
    return (
        f"{hardware}, torch {environment.get('torch')}, commit {short_commit(environment.get('commit')) or 'unknown'}"
    )


def _mean(runs: Sequence[SmallRecord], name: str) -> float:
    return statistics.fmean(run.accuracies[name] for run in runs)


def _cell(runs: Sequence[SmallRecord], name: str) -> str:
    values = [100 * run.accuracies[name] for run in runs if name in run.accuracies]
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
