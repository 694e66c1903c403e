"""The page of the leaderboard."""

import statistics
from collections.abc import Iterator, Sequence

from tools.small_runs.records import SmallRecord
from tools.small_runs.rows import Row, Rows

GROUPS = ("many", "medium", "few")
INTRODUCTION = """\
<!-- Written by tools/leaderboard.py; edit tools/leaderboard.yaml. -->
# Digits-LT leaderboard

Methods and recipes on 276 long-tailed handwritten digits (imbalance factor 50, 797 validation images), with ResNet-32.
Accuracy of the ensemble after the last epoch in percent, mean and standard deviation over seeds; seconds of a whole
training. The order is evidence about this data set only, which is far too small to rank methods elsewhere; the table
guards against regressions.

    python tools/leaderboard.py --seeds 1 2 3 4 5

trains what has no record yet, and resumes after a stop. `tools/leaderboard.yaml` says what is trained."""


def leaderboard_page(rows: Rows, records: Sequence[SmallRecord]) -> str:
    """Return the page: rows with records by accuracy, then what was not run, then what is left out.

    Args:
        rows: Rows.
        records: Their records; those of other settings are left out.
    """
    found = {row.name: [record for record in records if record.is_of(row)] for row in rows.rows}
    lines = [INTRODUCTION, ""]
    lines += _table([row for row in rows.rows if found[row.name]], found)
    missing = ", ".join(f"`{row.name}`" for row in rows.rows if not found[row.name])
    if missing:
        lines += ["", f"Not run yet: {missing}."]
    lines += ["", "Left out, because they need another one, or do not fit these images:", ""]
    lines += [f"- `{name}`: {reason}" for name, reason in rows.left_out.items()]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row], found: dict[str, list[SmallRecord]]) -> Iterator[str]:
    if not rows:
        return
    used = [record for row in rows for record in found[row.name]]
    groups = [group for group in GROUPS if any(group in record.accuracies for record in used)]
    yield _line("", "method", "top-1", *groups, "epochs", "seconds", "seeds")
    yield "|---" * (6 + len(groups)) + "|"
    for place, row in enumerate(sorted(rows, key=lambda row: -_mean(found[row.name], "top1")), start=1):
        runs = found[row.name]
        cells = [_cell(runs, name) for name in ("top1", *groups)]
        seconds = f"{statistics.fmean(run.seconds for run in runs):.0f}"
        yield _line(str(place), f"`{row.name}`", *cells, str(runs[0].epochs), seconds, str(len(runs)))
    yield ""
    hardware = sorted({f"{run.environment.get('processor')}, torch {run.environment.get('torch')}" for run in used})
    commits = sorted({str(run.environment.get("commit"))[:10] for run in used})
    yield f"Made on {'; '.join(hardware)}; commit {', '.join(commits)}."


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
