"""The page of the gallery, in Markdown."""

import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from longtail.gallery.comparing import departures, images_of, trees_of
from longtail.gallery.runs import Outcome
from longtail.gallery.source import DataSet, Gallery, Group, Row

from longtail.config import read_yaml

HEAD = """\
<!-- Written by tools/gallery.py from docs/gallery.yaml and run directories; change those. -->
# Gallery

Every trick of Bag of Tricks (Zhang et al., *Bag of Tricks for Long-Tailed Visual Recognition with Deep Convolutional
Neural Networks*, AAAI 2021): what it does, its paper, its configuration, and top-1 errors in percent. Each file begins
with its command; files under `recipes/` are several trainings, run, stopped and continued by one command as well.

**Published** numbers are those of the release's tables: as far as its code tells, the best epoch on the test images, of
one run with seed 42. Two lines that compute the same differ by 0.1 to 1.2 points, so smaller differences mean little.
*Cao*: images by the rule of Cao et al., the newest tables. *Cui*: the files of Cui et al., the older tables and all
combinations; their images were normalised with ImageNet's constants.

**Here**: `best / last` epoch and, in parentheses, the number of seeds; ± is the standard deviation over them. Empty:
not run yet. `python tools/gallery.py --runs output` fills them in from run directories. A run counts only if all its
settings are those of the file; others are listed at the end. Several seeds of a recipe need an `OUTPUT_DIR` each.

The CIFAR configurations make their images from the official archive (Cao). On annotation files, Cui's or others:

```
bash data_parallel_train.sh configs/cifar10_lt/im100/tricks/baseline.yaml 0 \\
    DATASET.TRAIN_JSON train.json DATASET.VALID_JSON valid.json
```

and with `DATASET.DATASET CIFAR` besides, normalised as the older tables' images were. The same goes for recipes.
What the released files have wrong, and these have not, is listed in [differences.md](differences.md#configurations).
"""
OWN = "| | here"
TAIL = "## Runs with other settings"


def write_page(gallery: Gallery, outcomes: Iterable[Outcome] = ()) -> str:
    """Return the page.

    Args:
        gallery: what it shows.
        outcomes: of finished runs; those of no configuration of the gallery are left out.
    """
    by_name: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_name[outcome.name].append(outcome)
    others: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    lines = [HEAD]
    for group in gallery.groups:
        lines += [f"## {group.title}\n", f"{group.text}\n"]
        for row in group.rows:
            lines.append(_about(gallery, row, group))
        lines += [*_table(gallery, group, by_name, others), ""]
    if others:
        lines += [f"{TAIL}\n", "| file | what differs | here |", "|---|---|---|"]
        lines += [f"| {what} | {differs} | {_cell(runs)} |" for (what, differs), runs in sorted(others.items())]
        lines.append("")
    return "\n".join(lines)


def same_but_for_results(page: str, other: str) -> bool:
    """Return whether two pages differ in our own results only."""
    return _without_results(page) == _without_results(other)


def _without_results(page: str) -> list[str]:
    return [line for line in page.split(TAIL)[0].rstrip().splitlines() if not line.startswith(OWN)]


def _about(gallery: Gallery, row: Row, group: Group) -> str:
    """Return the paragraph of a trick."""
    docs = gallery.root / "docs"
    links = ", ".join(
        f"[{data.name}]({os.path.relpath(gallery.root / file, docs)})"
        for data, file in zip(group.sets, row.files, strict=True)
        if file
    )
    paper = f" *Paper*: {row.paper}." if row.paper else ""
    stage = f", stage `{row.stage}`" if row.stage else ""
    return f"**{row.name}.** {row.text}{paper} *Files{stage}*: {links}.\n"


def _table(
    gallery: Gallery,
    group: Group,
    by_name: dict[str, list[Outcome]],
    others: dict[tuple[str, str], list[Outcome]],
) -> Iterator[str]:
    """Yield the lines of a group's table, and put runs with other settings into `others`."""
    yield "| trick | error | " + " | ".join(data.name for data in group.sets) + " |"
    yield "|---|---|" + "---|" * len(group.sets)
    for row in group.rows:
        name = row.name
        for whose, numbers in row.published.items():
            yield _line(name, f"published, {whose}", [f"{n:.2f}" if n is not None else "" for n in numbers])
            name = ""
        cells: dict[str, list[str]] = defaultdict(lambda: [""] * len(group.sets))
        for place, (data, file) in enumerate(zip(group.sets, row.files, strict=True)):
            found = _results(gallery.root / file, row.stage, data, by_name, others, file) if file else {}
            for images, cell in found.items():
                cells[images][place] = cell
        for images in sorted(cells) or [""]:
            yield _line("", f"here, {images}" if images else "here", cells[images])


def _line(*cells: str | Sequence[str]) -> str:
    flat = [cell for each in cells for cell in ([each] if isinstance(each, str) else each)]
    return "|" + "|".join(f" {cell} " if cell else " " for cell in flat) + "|"


def _results(
    path: Path,
    stage: str,
    data: DataSet,
    by_name: dict[str, list[Outcome]],
    others: dict[tuple[str, str], list[Outcome]],
    file: str,
) -> dict[str, str]:
    """Return the cells of one trick on one data set by the images that runs were on."""
    content = read_yaml(path)
    name = content.get("NAME") or content["name"]
    if name not in by_name:
        return {}
    trees = trees_of(path)
    stage = stage or list(trees)[-1]
    asked = trees[stage]
    counted: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in by_name[name]:
        if outcome.stage != stage:
            continue
        images = images_of(outcome.cfg, asked)
        differs = departures(outcome, trees, data)
        if differs:
            what = f"`{file}`{f' ({stage})' if stage else ''}, {images}"
            others[what, ", ".join(f"`{each}`" if "=" in each else each for each in differs)].append(outcome)
        else:
            counted[images].append(outcome)
    return {images: _cell(runs) for images, runs in counted.items()}


def _cell(runs: list[Outcome]) -> str:
    """Return `best / last (seeds)` of runs, the newest of each seed."""
    newest = {run.seed: run for run in sorted(runs, key=lambda run: run.began)}
    numbers = ([run.best for run in newest.values()], [run.last for run in newest.values()])
    return " / ".join(map(_mean, numbers)) + f" ({len(newest)})"


def _mean(numbers: list[float]) -> str:
    mean = f"{statistics.fmean(numbers):.2f}"
    return mean if len(numbers) == 1 else f"{mean} ± {statistics.stdev(numbers):.2f}"
