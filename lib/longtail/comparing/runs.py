"""Finished runs: found, read, and grouped by their config without the seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail.config import KEYS, flatten, load_config
from longtail.errors import UserError
from longtail.output_folders import CONFIG, RESULTS
from longtail.runs.directory import RunDirectory
from longtail.runs.folder import read_json
from longtail.runs.results import is_finished
from longtail.user_files import is_folder

SEED = "RAND_SEED"
FOLD = "DATASET.HOLD_OUT.FOLD"
DIVISION = ("DATASET.ROOT", *(f"DATASET.HOLD_OUT.{key}" for key in ("FOLDS", "SEED", "KEEP", "TEST", "GROUP")))
LONGEST_LABEL = 60


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        path: Run directory.
        values: Value of each key of its config.
        results: Content of results.json.
        valid: Digest of its validation images; empty if it is unknown.
    """

    path: Path
    values: Mapping[str, Any]
    results: Mapping[str, Any]
    valid: str = ""

    @property
    def seed(self) -> int:
        """RAND_SEED."""
        return int(self.values[SEED])

    @property
    def fold(self) -> int:
        """Fold of its validation images in a cross-validation, from 1; 0: there are no folds."""
        return int(self.values[FOLD]) if self.values["DATASET.HOLD_OUT.FOLDS"] else 0

    @property
    def division(self) -> tuple[Any, ...]:
        """The values that determine the folds of a cross-validation; () without folds."""
        return tuple(self.values[key] for key in DIVISION) if self.fold else ()

    def setting(self) -> tuple[Any, ...]:
        """Return the values of the keys by which runs are grouped."""
        return tuple(repr(self.values[name]) for name in grouping_keys())


@dataclass(frozen=True)
class Group:
    """Runs whose configs differ only in the seed, and in the fold of a cross-validation.

    Attributes:
        label: Name in tables.
        runs: Newest run of each seed and fold.
    """

    label: str
    runs: Mapping[tuple[int, int], FinishedRun]

    @property
    def values(self) -> Mapping[str, Any]:
        """Value of each key, of its first run."""
        return next(iter(self.runs.values())).values


def grouping_keys() -> list[str]:
    """Return the keys by which runs are grouped: those that change results, except seed, fold and files of stages."""
    left_out = (SEED, FOLD, "NAME")
    files = ("weights", "images")
    return [name for name, key in KEYS.items() if key.result and name not in left_out and key.file not in files]


def find_runs(paths: Sequence[str]) -> tuple[list[FinishedRun], list[Path]]:
    """Return the finished runs at or below paths, in their order, and the run directories that are not finished.

    Raises:
        UserError: A path does not exist, or does not contain a run.
    """
    runs: dict[Path, FinishedRun] = {}
    unfinished: list[Path] = []
    for path in map(Path, paths):
        if not is_folder(path):
            raise UserError(f"{path} is not a folder; expected run directories or folders of runs")
        configs = [path / CONFIG] if (path / CONFIG).is_file() else _configs_below(path)
        if not configs:
            raise UserError(f"{path} does not contain a run directory: there is no config.yaml in it")
        for config in configs:
            folder = config.parent.resolve()
            results = read_json(config.parent / RESULTS)
            if not is_finished(results) or not results.get("last"):
                unfinished.append(config.parent)
            elif folder not in runs:
                runs[folder] = read_run(config.parent, results)
    if not runs:
        raise UserError(f"no run in {', '.join(paths)} is finished")
    return list(runs.values()), unfinished


def _configs_below(folder: Path) -> list[Path]:
    """Return the configs of the run directories in a folder; those inside of a run are of other programs."""
    configs = sorted(folder.rglob(CONFIG))
    runs = {config.parent for config in configs}
    return [config for config in configs if runs.isdisjoint(config.parent.parents)]


def read_run(path: Path, results: Mapping[str, Any]) -> FinishedRun:
    """Return a finished run, given the content of its results.json."""
    run = RunDirectory(path)
    environment = read_json(run.environment)
    data = environment.get("data") if isinstance(environment, dict) else None
    valid = data.get("valid", "") if isinstance(data, dict) else ""
    return FinishedRun(path, dict(flatten(load_config(run.config))), results, str(valid))


def check_same_images(runs: Sequence[FinishedRun]) -> None:
    """Refuse runs that were evaluated on different images; those of a cross-validation may differ by fold.

    Raises:
        UserError: They are different; the message names two runs and their images.
    """
    known = all(run.valid for run in runs)
    first_of_fold: dict[int, FinishedRun] = {}
    for run in runs:
        first = first_of_fold.setdefault(run.fold, run)
        if run.division != runs[0].division or _images(run, known) != _images(first, known):
            first = runs[0] if first is run else first
            raise UserError(
                f"{run.path} and {first.path} were evaluated on different images ({_difference(run, first)}); "
                "their accuracies cannot be compared; name the runs of the same images (longtail compare RUN RUN), and "
                "train on other images with another NAME, so that their runs are in a folder of their own"
            )


def _images(run: FinishedRun, known: bool) -> Any:
    if known:
        return run.valid
    return run.values["DATASET.DATASET"], run.values["DATASET.VALID_JSON"]


def choosing_keys(values: Mapping[str, Any]) -> list[str]:
    """Return the keys that choose the validation images of a config, except that of the fold.

    Args:
        values: Value of each key.
    """
    keys = ["DATASET.VALID_JSON"]
    if not values["DATASET.VALID_JSON"]:
        keys.append("DATASET.DATASET")
        if values["DATASET.DATASET"] == "own":
            keys += ["DATASET.ROOT", *(name for name in KEYS if name.startswith("DATASET.HOLD_OUT.") and name != FOLD)]
    return keys


def _difference(run: FinishedRun, other: FinishedRun) -> str:
    """Return the keys by which two runs have different images, with both values."""
    keys = dict.fromkeys(choosing_keys(run.values) + choosing_keys(other.values))
    pairs = {key: (run.values[key], other.values[key]) for key in keys}
    different = [f"{key} {mine!r} and {its!r}" for key, (mine, its) in pairs.items() if mine != its]
    return ", ".join(different) or "chosen by the same keys, so the files have changed"


def group_runs(runs: Sequence[FinishedRun]) -> list[Group]:
    """Group runs whose configs differ only in seed and fold; of runs with the same seed and fold, use the newest."""
    groups: dict[tuple[Any, ...], dict[tuple[int, int], FinishedRun]] = {}
    for run in sorted(runs, key=lambda run: run.path.name):  # run directories are named by their time
        groups.setdefault(run.setting(), {})[run.seed, run.fold] = run
    order = list(dict.fromkeys(run.setting() for run in runs))
    found = [dict(sorted(groups[setting].items())) for setting in order]
    return [Group(label, members) for label, members in zip(_labels(found), found, strict=True)]


def differing_keys(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the grouping keys in which values of groups differ."""
    return [name for name in grouping_keys() if len({repr(values[name]) for values in groups}) > 1]


def _labels(groups: Sequence[Mapping[tuple[int, int], FinishedRun]]) -> list[str]:
    """Return the NAME of each group; for groups of one NAME the keys in which they differ, or numbers if too long."""
    values = [next(iter(runs.values())).values for runs in groups]
    names = [str(value["NAME"]) for value in values]
    labels = list(names)
    for name in {name for name in names if names.count(name) > 1}:
        places = [place for place, other in enumerate(names) if other == name]
        keys = differing_keys([values[place] for place in places])
        texts = [", ".join(f"{key.rpartition('.')[2]} {values[place][key]}" for key in keys) for place in places]
        if max(map(len, texts)) > LONGEST_LABEL:
            texts = [f"{name} {number}" for number in range(1, len(places) + 1)]
        elif len(places) < len(groups):
            texts = [f"{name} {text}" for text in texts]
        for place, text in zip(places, texts, strict=True):
            labels[place] = text
    return labels
