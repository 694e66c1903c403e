"""The run directory: everything that one training wrote."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from yacs.config import CfgNode

from longtail.config import KEYS, flatten, load_config
from longtail.errors import UserError
from longtail.runs.folder import LockedFolder, read_json
from longtail.runs.inputs import differing_inputs, input_keys, input_records
from longtail.runs.results import is_finished


class RunDirectory(LockedFolder):
    """OUTPUT_DIR/NAME/<date-time>/ and the names of the files in it."""

    @property
    def config(self) -> Path:
        """The complete config."""
        return self.path / "config.yaml"

    @property
    def models(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "models"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.models / "last.pth"

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self.path / "figures"

    @property
    def log(self) -> Path:
        """Text log."""
        return self.path / "train.log"

    @property
    def metrics(self) -> Path:
        """One JSON object per epoch and split."""
        return self.path / "metrics.jsonl"

    @property
    def inputs(self) -> Path:
        """Files that the run started from, each with its SHA-256."""
        return self.path / "inputs.json"

    @property
    def results(self) -> Path:
        """The outcome, as JSON."""
        return self.path / "results.json"

    def finished(self) -> bool:
        """Return whether the last epoch has been trained and its results written."""
        return is_finished(read_json(self.results))


def parent_of_runs(cfg: CfgNode) -> Path:
    """Return OUTPUT_DIR/NAME."""
    return Path(cfg.OUTPUT_DIR) / cfg.NAME


def check_writable(cfg: CfgNode) -> None:
    """Refuse an OUTPUT_DIR in which no run can be written, without creating anything.

    Raises:
        UserError: The nearest existing folder above the run's is not a folder, or not writable.
    """
    folder = parent_of_runs(cfg).absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"OUTPUT_DIR {cfg.OUTPUT_DIR} cannot be used: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"OUTPUT_DIR {cfg.OUTPUT_DIR} cannot be used: {folder} is not writable")


def create_run(cfg: CfgNode) -> RunDirectory:
    """Create a new run directory, lock it and write the config into it; an existing one is never touched.

    Raises:
        UserError: It cannot be written.
    """
    stamp = datetime.now().strftime("%Y-%m-%d-%H-%M-%S")
    try:
        for path in _candidates(parent_of_runs(cfg) / stamp):
            try:
                path.mkdir(parents=True)
                break
            except FileExistsError:
                continue
        run = RunDirectory(path)
        run.models.mkdir()
        run.figures.mkdir()
        run.lock()
        run.config.write_text(cfg.dump(), encoding="utf-8")
        run.write_json(run.inputs.name, input_records(cfg))
    except OSError as error:
        raise UserError(f"run directory {error.filename} cannot be written: {error.strerror}") from None
    return run


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def unfinished_run(cfg: CfgNode) -> RunDirectory | None:
    """Return the newest run of the same config that can be resumed and that no other process is training, locked."""
    for run in runs_of(cfg):
        if run.last.is_file() and not run.finished() and run.lock():
            return run
    return None


def runs_of(cfg: CfgNode) -> Iterator[RunDirectory]:
    """Yield the run directories of the same config that started from the same files, the newest first."""
    folder = parent_of_runs(cfg)
    for path in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []:
        run = RunDirectory(path)
        if run.config.is_file() and not differing_keys(cfg, run):
            yield run


def differing_keys(cfg: CfgNode, run: RunDirectory) -> list[str]:
    """Return the keys in which a run differs from a config, among those that change what is computed.

    A key that names a file to start from counts by the content of the file, and by whether it is used.
    """
    try:
        other = dict(flatten(load_config(run.config)))
    except UserError:
        return ["(its config.yaml cannot be read)"]
    files = set(input_keys())
    compared = [name for name, key in KEYS.items() if key.result and name not in files]
    values = dict(flatten(cfg))
    keys = [name for name in compared if other.get(name) != values[name]]
    return keys or [f"{name} (the file)" for name in differing_inputs(read_json(run.inputs), input_records(cfg))]
