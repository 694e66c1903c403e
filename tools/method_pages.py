"""One page per method, docs/methods/<method>.md: what it does, when to use it, command, config and numbers."""

import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from longtail.cli.list_configs import describe
from longtail.config import find_config, is_recipe, read_yaml
from tools.results_page.page import by_images, cell_of, finished_runs, name_of
from tools.results_page.published import Group, Published, Row
from tools.results_page.records import Record
from tools.small_runs.records import SmallRecord
from tools.small_runs.rows import Rows

MARK = "<!-- Written by tools/write_docs.py; edit docs/results.yaml, or the config. -->"
SAME = "the same"
FOLLOWING = " (so are all that follow)"  # in the list of results, a paper of several rows
LONGER = "epochs_400,"  # schedule of a row for CIFAR, which the leaderboard's row for Digits-LT does not need
EXAMPLE = "cifar100_im100"  # data set of the command of a method that has no published number
FURTHER = "[Methods](../methods.md) describes for each family when it helps."
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Measured:
    """Our numbers.

    Attributes:
        records: Records of trainings on the published data sets.
        rows: Rows of the Digits-LT leaderboard.
        small: Records of the leaderboard.
    """

    records: Sequence[Record]
    rows: Rows
    small: Sequence[SmallRecord]


def method_pages(published: Published, measured: Measured) -> dict[str, str]:
    """Return {name of the file: text} for every method of docs/results.yaml and of the leaderboard."""
    pages: dict[str, str] = {}
    for group in all_groups(published, measured.rows):
        for row, papers in zip(group.rows, _papers(group), strict=True):
            pages[file_of(row)] = "\n".join(_page(row, group, papers, measured)) + "\n"
    return pages


def _papers(group: Group) -> Iterator[list[str]]:
    """Yield the papers of each row of a group."""
    paper = common = ""
    for row in group.rows:
        same = row.paper.startswith(SAME)
        own = row.paper.removeprefix(SAME).removeprefix(", and ").removesuffix(FOLLOWING)
        if row.paper and not same:
            paper = own
        if row.paper.endswith(FOLLOWING):
            common = own
        first = paper if same else "" if row.paper else common
        yield [each for each in dict.fromkeys([first, own]) if each]


def all_groups(published: Published, rows: Rows) -> list[Group]:
    """Return the groups of docs/results.yaml, and a group of the methods that only the leaderboard has."""
    known = {config.removeprefix(LONGER) for _, _, config in published.entries()}
    further = tuple(
        Row(row.name, describe(Path(find_config(row.name.split(",")[-1]))), "", (row.name,), "", {})
        for row in rows.rows
        if row.name not in known
    )
    sets = tuple(data for data in published.groups[0].sets if data.data == EXAMPLE)
    group = Group("Further methods", "Methods without a published number in the results.", FURTHER, sets, further)
    return [*published.groups, group]


def file_of(row: Row) -> str:
    """Return the name of a method's page."""
    config = next(config for config in row.configs if config)
    return f"{config.replace(',', '-')}{f'-{row.stage}' if row.stage else ''}.md"


def navigation(published: Published, rows: Rows) -> str:
    """Return the lines of mkdocs.yml that list the pages, group by group."""
    lines = []
    for group in all_groups(published, rows):
        lines.append(f"          - {group.title}:")
        lines += [f"              - {row.name}: methods/{file_of(row)}" for row in group.rows]
    return "\n".join(lines)


def _page(row: Row, group: Group, papers: Sequence[str], measured: Measured) -> Iterator[str]:
    """Yield the lines of a page."""
    yield from (MARK, f"# {row.name}", "", _from_folder(row.text), "")
    if papers:
        yield from (f"*Paper*: {'; '.join(papers)}.", "")
    yield from ("## When", "", group.when, "", f"*{group.title}.* {_from_folder(group.text)}", "")
    yield from ("## Command", "", "```", *_commands(row, group), "```", "")
    yield from _settings(row)
    yield from _published(row, group)
    yield from _measured(row, group, measured)


def _from_folder(text: str) -> str:
    """Return a text of docs/ with its links adapted to docs/methods/."""
    return re.sub(r"\]\((?!\w+:|\.\./)", "](../", text)


def _commands(row: Row, group: Group) -> list[str]:
    pairs = zip(group.sets, row.configs, strict=True)
    return [f"longtail train {data.data},{config}" for data, config in pairs if config]


def _settings(row: Row) -> Iterator[str]:
    """Yield the files that make up the config of a method."""
    yield from ("## Config", "")
    parts = dict.fromkeys(part for config in row.configs if config for part in config.split(","))
    for part in parts:
        path = Path(find_config(part))
        kind = "recipe" if is_recipe(part) else "config"
        yield f"The {kind} `{path.parent.name}/{path.name}`:"
        text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
        yield from ("", "```yaml", text.strip(), "```", "")
        if kind == "recipe":
            used = {str(stage.get("config") or "") for stage in read_yaml(path, "recipe")["stages"]} - {""}
            if used:
                yield from (f"Configs of its stages: {', '.join(f'`{name}`' for name in sorted(used))}.", "")


def _last_stage(config: str) -> str:
    """Return the name of the last stage of a recipe; empty for others."""
    recipe = next((part for part in config.split(",") if is_recipe(part)), None)
    return str(read_yaml(find_config(recipe), "recipe")["stages"][-1]["name"]) if recipe else ""


def _published(row: Row, group: Group) -> Iterator[str]:
    yield from ("## Published", "")
    if not any(number is not None for numbers in row.published.values() for number in numbers):
        yield from ("No published number for this configuration.", "")
        return
    yield from ("Top-1 error in percent; [Results](../results.md) names the sources and their protocol.", "")
    yield "| source | " + " | ".join(data.name for data in group.sets) + " |"
    yield "|---|" + "---|" * len(group.sets)
    for source, numbers in row.published.items():
        yield f"| {source} | " + " | ".join(f"{n:.2f}" if n is not None else "" for n in numbers) + " |"
    yield ""


def _measured(row: Row, group: Group, measured: Measured) -> Iterator[str]:
    yield from ("## Measured here", "")
    found = False
    for data, config in zip(group.sets, row.configs, strict=True):
        for released in (False, True):
            runs = finished_runs(measured.records, row, data=data, config=config, released=released)
            for images, same in by_images(runs):
                error = f"{cell_of(same)} % after the last epoch (seeds in parentheses)"
                found = True
                yield f"- {name_of(data, images)}: top-1 error {'of the released code ' if released else ''}{error}."
    small = [line for config in dict.fromkeys(row.configs) if config for line in _small(config, row, measured)]
    yield from small
    if not (found or small):
        yield "Not measured yet."


def _small(config: str, row: Row, measured: Measured) -> Iterator[str]:
    """Yield the line of the Digits-LT leaderboard, which has the last stage of recipes."""
    listed = next((each for each in measured.rows.rows if each.name == config.removeprefix(LONGER)), None)
    runs = [record for record in measured.small if listed and record.is_of(listed)]
    if not runs or row.stage not in ("", _last_stage(config)):
        return
    values = [100 * run.accuracies["top1"] for run in runs]
    mean = statistics.fmean(values)
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    yield (
        f"- [Digits-LT](../leaderboard.md), a test of the code: top-1 accuracy {mean:.1f}{spread} % "
        f"({len(values)} seed{'s' if len(values) > 1 else ''}, {runs[0].epochs} epochs)."
    )
