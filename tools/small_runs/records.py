"""Records of the leaderboard: one small JSON file per row and seed."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longtail.files import atomic_write
from longtail.output_folders import ENVIRONMENT, RESULTS
from tools.json_records import read_folder
from tools.small_runs.rows import Row

KEPT = ("commit", "processor", "cores", "threads", "devices")  # of environment.json


@dataclass(frozen=True)
class SmallRecord:
    """A finished training, or a recipe of several stages.

    Attributes:
        row: Name of the row.
        source: Composition that was trained.
        seed: RAND_SEED.
        settings: Digest of the settings of all stages, see `run_settings.digest`.
        accuracies: Accuracies of the ensemble after the last epoch of the last stage: top1, many, medium, few.
        epochs: Epochs of all stages.
        seconds: Duration of all stages.
        environment: Commit, hardware, versions.
    """

    row: str
    source: str
    seed: int
    settings: str
    accuracies: dict[str, float]
    epochs: int
    seconds: float
    environment: dict[str, Any]

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.source.replace(',', '_')}-seed{self.seed}.json"

    def is_of(self, row: Row) -> bool:
        """Return whether it is a record of this row with its current settings."""
        return (self.row, self.source) == (row.name, row.source) and self.settings == row.digest


def train_row(row: Row, seed: int, *, output: Path, gpus: str | None = None, resume: str = "auto") -> SmallRecord:
    """Train a row, or resume it.

    Args:
        row: Row.
        seed: RAND_SEED.
        output: Folder of the run directories.
        gpus: "cpu" or "0"; None: the first GPU, or the CPU.
        resume: "auto", or "never" to train finished runs again.

    Raises:
        UserError: The composition is invalid.
    """
    import longtail
    from longtail.config import is_recipe
    from longtail.distributed import find_place
    from longtail.runs.folder import read_json
    from longtail.stages.recipe import run_recipe

    overrides = [*row.overrides, "RAND_SEED", seed, "OUTPUT_DIR", str(output)]
    if is_recipe(row.source):
        summary = run_recipe(row.source, place=find_place(gpus), resume=resume, overrides=overrides)
        stages = read_json(summary)["stages"]
        runs = [Path(stage["run"]) for stage in stages]
    else:
        runs = [longtail.train(longtail.load_config(row.source, overrides), gpus=gpus, resume=resume)]
    results = [read_json(run / RESULTS) for run in runs]
    found: dict[str, Any] = next((read_json(run / ENVIRONMENT) for run in runs if (run / ENVIRONMENT).is_file()), {})
    return SmallRecord(
        row=row.name,
        source=row.source,
        seed=seed,
        settings=row.digest,
        accuracies={name: round(value, 6) for name, value in results[-1]["last"]["ensemble"].items()},
        epochs=sum(result["epochs"] for result in results),
        seconds=round(sum(result["seconds"] for result in results), 1),
        environment={**{name: found.get(name) for name in KEPT}, "torch": found.get("versions", {}).get("torch")},
    )


def write_small_record(record: SmallRecord, folder: Path) -> None:
    """Write a record into a folder, which is created if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / record.file, "w") as file:
        file.write(json.dumps(asdict(record), indent=1) + "\n")


def read_small_records(folder: Path) -> Sequence[SmallRecord]:
    """Read all records of a folder.

    Raises:
        UserError: A file is not a record.
    """
    return read_folder(folder, SmallRecord)
