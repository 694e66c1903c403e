"""docs/results.md, in Markdown."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from longtail.config import find_config, is_recipe, read_yaml
from longtail.runs.environment import short_commit
from tools.results_page.published import DataSet, Group, Published, Row
from tools.results_page.records import Record

HEAD = """\
<!-- Written by tools/write_docs.py; edit docs/results.yaml, or add records with tools/record.py. -->
# Results

Top-1 errors in percent: published numbers, and ours from the records in `docs/records`. `longtail train DATA,CONFIG`
trains a row. This trains and records the rows without a record of a data set, six at once (`cifar10_im100` and
`cifar10_im100_json` are two data sets, whose images are the same):

```
python tools/gallery.py cifar10_im100 --seeds 42 43 44 --at-once 6
```

**Here** is the error after the *last* epoch: mean over the seeds, ± standard deviation, and the number of seeds in
parentheses. Only finished runs of the full schedule count, with the settings that the config has today; of several runs
of one seed, the newest, whatever its precision. Unfinished runs are listed under [Runs](#runs) with the epoch that they
reached, runs with other settings with what differs. A method without a line *here* has not been run yet.

**Published** numbers of Bag of Tricks are those of its release: according to its code, the *best* epoch on the test
images, of one run with seed 42. Rows with the same computation differ by 0.1 to 1.2 points, so smaller differences mean
little. *Cao*: images by the rule of Cao et al., the newest tables. *Cui*: the files of Cui et al., the older tables and
all combinations; their images were normalized with ImageNet's constants.

Hours are those of the run as it was: the runs on one H200 shared it with up to twelve other trainings. Runs in bf16
of the commits bc307036, b46dedb6 and a2db636e computed logits in bf16, too; since November 26, 2026, they are float32
([why](differences.md#accuracy-of-the-fast-path)).

**Released code**: the authors' own code, trained on the same images as "here". It shows what the images change.

```
python tools/released_code.py BagofTricks-LT configs/cao_cifar/baseline/cifar10_im100.yaml cifar10_im100_json,ce --bf16
```

A training on other images (JPEG files instead of lossless ones) or with other settings is marked in the list of runs.
"JPEG, quality 75": copies with Pillow's settings of all test images and, of each class, the first training images of a
copy of CIFAR-10 whose order may not be the archive's. These commands make such copies of Cao's selection, so expect
small differences:

```
python tools/make_cifar_lt.py --dataset cifar10 --imbalance_factor 100 --jpeg 75
longtail train cifar10_im100_json,ce DATASET.TRAIN_JSON dataset/cifar10_lt/cifar10_im100_q75_train.json \\
    DATASET.VALID_JSON dataset/cifar10_lt/cifar10_q75_valid.json
```

[Differences](differences.md#configs) lists errors of the released configs that are corrected here.
"""


COLUMNS = (
    *("config", "seed", "epochs", "top-1", "many", "medium", "few", "best (epoch)"),
    *("images", "precision", "hours", "hardware", "torch", "commit", "other settings"),
)


def results_page(published: Published, records: Sequence[Record]) -> str:
    """Return the page."""
    lines = [HEAD]
    for group in published.groups:
        lines += [f"## {group.title}", "", group.text, ""]
        for row in group.rows:
            lines += [_about(row, group), ""]
        lines += [*_table(group, records), ""]
    return "\n".join([*lines, *_runs(records)]) + "\n"


def top_table(published: Published, records: Sequence[Record]) -> str:
    """Return the table of the README, rows with finished runs, published and ours; below it those of released code."""
    columns = ("method", "data", "published (best epoch)", "here (last epoch)", "epochs", "hours")
    lines = [_line(*columns), "|---" * len(columns) + "|"]
    released = []
    for row, data, config in published.entries():
        column = next(group.sets.index(data) for group in published.groups if row in group.rows)
        numbers = {source: number for source, all_sets in row.published.items() if (number := all_sets[column])}
        # Ours are on images by the rule of Cao et al.; a row without such a number has one source.
        number = numbers.get("Cao", next(iter(numbers.values()), None))
        published_error = "" if number is None else f"{number:.2f}"
        for images, runs in by_images(finished_runs(records, row, data=data, config=config)):
            epochs = str(runs[0].epochs)
            lines.append(_line(row.name, name_of(data, images), published_error, cell_of(runs), epochs, took(runs)))
        for images, runs in by_images(finished_runs(records, row, data=data, config=config, released=True)):
            released.append(f"{row.name} on {name_of(data, images)}: {cell_of(runs)}")
    if released:
        lines += ["", f"The released code, trained on the same images, after its last epoch: {'; '.join(released)}."]
    return "\n".join(lines)


def took(runs: Sequence[Record]) -> str:
    """Return the hours of runs on each kind of device, as "0.21 to 0.30 (H200)"."""
    hours: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        hours[_device(run.environment)].append(run.hours)
    spans = {device: " to ".join(dict.fromkeys(map(_hours, (min(own), max(own))))) for device, own in hours.items()}
    return ", ".join(f"{span} ({device})" for device, span in sorted(spans.items()))


def _device(environment: dict[str, Any]) -> str:
    """Return the name of the device of a run, without its maker; all of them if it was resumed on another."""
    entries = [environment, *environment.get("resumed", ())]
    devices = dict.fromkeys(entry["devices"][0] for entry in entries if entry.get("devices"))
    return " and ".join("CPU" if device == "cpu" else device.removeprefix("NVIDIA ") for device in devices)


def by_images(runs: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """Yield (images, their runs)."""
    for images in sorted({run.images for run in runs}):
        yield images, [run for run in runs if run.images == images]


def name_of(data: DataSet, images: str) -> str:
    """Return the name of a data set, with how the images differ from it."""
    return f"{data.name}, {images}" if images else data.name


def _about(row: Row, group: Group) -> str:
    configs = dict.fromkeys(config for config in row.configs if config)
    commands = ", ".join(f"`{config}`" for config in configs)
    paper = f" *Paper*: {row.paper}." if row.paper else ""
    stage = f", stage `{row.stage}`" if row.stage else ""
    return f"**{row.name}.** {row.text}{paper} *Config{stage}*: {commands}."


def _table(group: Group, records: Sequence[Record]) -> Iterator[str]:
    yield "| method | error | " + " | ".join(data.name for data in group.sets) + " |"
    yield "|---|---|" + "---|" * len(group.sets)
    for row in group.rows:
        name = row.name
        for source, numbers in row.published.items():
            yield _line(name, f"published, {source}", *(f"{n:.2f}" if n is not None else "" for n in numbers))
            name = ""
        for released in (True, False):
            found = [
                finished_runs(records, row, data=data, config=config, released=released)
                for data, config in zip(group.sets, row.configs, strict=True)
            ]
            kinds = sorted({run.images for runs in found for run in runs})
            for images in kinds:
                cells = [cell_of([run for run in runs if run.images == images]) for runs in found]
                source = "released code" if released else "here"
                yield _line(name, f"{source}, {images}" if images else source, *cells)
                name = ""


def finished_runs(
    records: Sequence[Record], row: Row, *, data: DataSet, config: str | None, released: bool = False
) -> list[Record]:
    """Return the finished runs of a row on a data set, the newest of each seed.

    Of a recipe, the last stage counts, or the one that the row names, with the epochs and hours of the stages before
    it.

    Args:
        records: Records.
        row: Row.
        data: Data set.
        config: Config of the row on it; None: there is none, and no run.
        released: Whether to return those of the released code instead.
    """
    if config is None:
        return []
    wanted = {_normal(f"{data.data},{config}"), _normal(f"{data.data}_json,{config}")}
    stage = row.stage or _last_stage(config)
    found: dict[int, Record] = {}
    for record in sorted(records, key=lambda record: record.began):
        if (
            _normal(record.config) in wanted
            and record.stage == stage
            and record.finished
            and bool(record.code) == released
            and record.train_images == data.images
        ):
            stages = _stages_up_to(record, records)
            if not any(each.differs for each in stages):
                epochs, hours = sum(each.epochs for each in stages), sum(each.hours for each in stages)
                found[record.seed] = replace(record, epochs=epochs, reached=epochs, hours=hours)
    return list(found.values())


def _last_stage(config: str) -> str:
    """Return the name of the last stage of a recipe; "" for other configs."""
    if not is_recipe(config):
        return ""
    name: str = read_yaml(find_config(config.split(",")[-1]), "recipe")["stages"][-1]["name"]
    return name


def _stages_up_to(record: Record, records: Sequence[Record]) -> list[Record]:
    """Return a record and, of a recipe, those of the stages before it: the newest run of each."""
    found = {record.stage: record}
    for other in sorted(records, key=lambda each: each.began) if record.stage else ():
        same_run = ("config", "seed", "images", "code")
        of_this = all(getattr(other, name) == getattr(record, name) for name in same_run)
        if of_this and other.stage != record.stage and other.began <= record.began:
            found[other.stage] = other
    return list(found.values())


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours < 1 else f"{hours:.1f}"


def _normal(config: str) -> str:
    return config.removesuffix(",every_epoch")


def cell_of(runs: Sequence[Record]) -> str:
    """Return "mean ± std (seeds)" of the errors after the last epoch."""
    errors = [100 * (1 - run.last["top1"]) for run in runs]
    if not errors:
        return ""
    spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
    return f"{statistics.fmean(errors):.2f}{spread} ({len(errors)})"


def _runs(records: Sequence[Record]) -> Iterator[str]:
    """Yield the list of all runs, finished or not."""
    if not records:
        return
    yield "## Runs"
    yield ""
    yield "Accuracies of the last epoch in percent; best: the best evaluated epoch, selected on the reported images."
    yield ""
    yield _line(*COLUMNS)
    yield "|---" * len(COLUMNS) + "|"
    for record in sorted(records, key=lambda record: (record.config, record.stage, record.seed)):
        yield _run(record)


def _run(record: Record) -> str:
    groups: dict[str, str] = defaultdict(str)
    for name, value in record.last.items():
        groups[name] = f"{100 * value:.2f}"
    epochs = str(record.epochs) if record.finished else f"{record.reached} of {record.epochs}, unfinished"
    best = f"{100 * record.best['top1']:.2f} ({record.best['epoch']:g})" if record.best else ""
    environment = record.environment
    threads = f"{environment.get('threads', '?')} thread(s)"
    return _line(
        ", ".join(filter(None, (f"`{record.config}`", record.stage, record.code))),
        str(record.seed),
        epochs,
        *(groups[name] for name in ("top1", "many", "medium", "few")),
        best,
        record.images,
        record.precision,
        _hours(record.hours),
        f"{environment.get('processor', '')}, {', '.join(environment.get('devices', []))}, {threads}"
        + "".join(_moved(entry) for entry in environment.get("resumed", ())),
        str(environment.get("versions", {}).get("torch", "")),
        short_commit(environment.get("commit")),
        ", ".join(f"`{key}={value}`" for key, value in record.differs.items()),
    )


def _moved(entry: dict[str, Any]) -> str:
    """Return where a run was resumed, if on other hardware."""
    changed = [entry.get("processor", ""), *entry.get("devices", ())]
    changed += [f"precision {entry['precision']}"] if "precision" in entry else []
    return f"; from epoch {entry['epoch']}: {', '.join(filter(None, changed))}" if any(changed) else ""


def _line(*cells: str) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"
