"""The files of a run and of its newest evaluation."""

import csv
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longtail.config import load_config
from longtail.errors import UserError
from longtail.evaluation import Samples, read_samples
from longtail.output_folders import RESULTS, SAMPLES
from longtail.runs.directory import RunDirectory
from longtail.runs.folder import read_json
from longtail.runs.loggers import read_history
from longtail.user_files import is_file, is_folder, read_text

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RunRecord:
    """Everything that a report reads of a run; missing parts are empty or None.

    Attributes:
        run: Run directory.
        results: Content of results.json.
        history: Records of metrics.jsonl.
        environment: Content of environment.json.
        cfg: Config; None if this version cannot read it.
        evaluation: Newest complete evaluation folder.
        metrics: Content of results.json of the evaluation.
        classes: Rows of per_class_ensemble.csv.
        confusion: Counts, a row per true class, (C, C); None above 20,000 classes.
        samples: Predictions for every image.
    """

    run: RunDirectory
    results: dict[str, Any]
    history: list[dict[str, Any]]
    environment: dict[str, Any]
    cfg: Any = None
    evaluation: Path | None = None
    metrics: dict[str, Any] | None = None
    classes: list[dict[str, str]] | None = None
    confusion: Array | None = None
    samples: Samples | None = None

    @property
    def name(self) -> str:
        """NAME/<date-time> of the run directory."""
        path = self.run.path.resolve()
        return f"{path.parent.name}/{path.name}"


def read_run(path: str | Path) -> RunRecord:
    """Read a run directory.

    Raises:
        UserError: The folder is not a run directory.
    """
    run = RunDirectory(Path(path))
    if not is_file(run.config):
        raise UserError(f"{path} is not a run directory: it has no config.yaml")
    evaluation = newest_evaluation(run)
    return RunRecord(
        run=run,
        results=_mapping(run.results),
        history=list(read_history(run.metrics)),
        environment=_mapping(run.environment),
        cfg=_config(run),
        evaluation=evaluation,
        metrics=_mapping(evaluation / RESULTS) if evaluation else None,
        classes=_table(evaluation / "per_class_ensemble.csv") if evaluation else None,
        confusion=_confusion(evaluation / "confusion_ensemble.npz") if evaluation else None,
        samples=read_samples(evaluation / SAMPLES) if evaluation else None,
    )


def newest_evaluation(run: RunDirectory) -> Path | None:
    """Return the newest complete evaluation of the validation images (no sweep or calibration); None without one."""
    folder = run.path / "evaluation"
    complete = [
        path
        for path in (folder.iterdir() if is_folder(folder) else ())
        if all((path / name).is_file() for name in (RESULTS, "per_class_ensemble.csv"))
        and _mapping(path / RESULTS).get("split", "valid") == "valid"
    ]
    return max(complete, key=lambda path: path.name, default=None)


def _mapping(path: Path) -> dict[str, Any]:
    content = read_json(path)
    return content if isinstance(content, dict) else {}


def _config(run: RunDirectory) -> Any:
    try:
        return load_config(run.config)
    except UserError:
        return None


def _table(path: Path) -> list[dict[str, str]] | None:
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, "table"), newline="")))
    except (UserError, csv.Error):
        return None
    return rows or None


def _confusion(path: Path) -> Array | None:
    try:
        with np.load(path, allow_pickle=False) as content:
            counts: Array = content["confusion"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return counts if counts.ndim == 2 and counts.shape[0] == counts.shape[1] else None
