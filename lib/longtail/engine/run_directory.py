"""The folder that holds everything one training wrote."""

import fcntl
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from yacs.config import CfgNode

from longtail.config import load_config
from longtail.engine.inputs import input_records
from longtail.errors import UserError
from longtail.files import atomic_write

# Keys that do not change what is computed: a run may go on under another value of these.
IRRELEVANT = (
    "OUTPUT_DIR",
    "SHOW_STEP",
    "SAVE_STEP",
    "PIN_MEMORY",
    "RESUME_MODEL",
    "RESUME_MODE",
    "TRAIN.NUM_WORKERS",
    "TRAIN.CHECKPOINT_MINUTES",
    "TRAIN.TENSORBOARD.ENABLE",
    "TEST.NUM_WORKERS",
    "TEST.MODEL_FILE",
)


class RunDirectory:
    """OUTPUT_DIR/NAME/<date-time>/ and the names of the files in it.

    While a process trains in it, it holds a lock that ends with the process, however that ends.

    Args:
        path: the folder, which exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def config(self) -> Path:
        """The complete tree."""
        return self.path / "config.yaml"

    @property
    def models(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "models"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.models / "last.pth"

    @property
    def figures(self) -> Path:
        """The folder of the pictures."""
        return self.path / "figures"

    @property
    def log(self) -> Path:
        """The text log."""
        return self.path / "train.log"

    @property
    def metrics(self) -> Path:
        """One JSON object per epoch and split."""
        return self.path / "metrics.jsonl"

    @property
    def inputs(self) -> Path:
        """The files that the run began from, each with its SHA-256."""
        return self.path / "inputs.json"

    @property
    def results(self) -> Path:
        """The outcome, as JSON."""
        return self.path / "results.json"

    def finished(self) -> bool:
        """Return whether the last epoch has been trained and judged."""
        try:
            results = json.loads(self.results.read_text())
            return bool(results["last"]["epoch"] >= results["epochs"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def input(self, key: str) -> str | None:
        """Return the SHA-256 of the file that a key named when the run began; None: not recorded."""
        try:
            return str(json.loads(self.inputs.read_text())[key]["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def lock(self) -> bool:
        """Take the lock; False when another process has it."""
        file = open(self.path / ".lock", "a")  # noqa: SIM115  (open for as long as this object lives)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except OSError:  # a file system without locks: go on without
            pass
        self._lock = file
        return True

    def unlock(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file in the folder, whole or not at all."""
        with atomic_write(self.path / name, "w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")


def parent_of_runs(cfg: CfgNode) -> Path:
    """Return OUTPUT_DIR/NAME."""
    return Path(cfg.OUTPUT_DIR) / cfg.NAME


def check_writable(cfg: CfgNode) -> None:
    """Refuse an OUTPUT_DIR in which no run can be written, without creating anything.

    Raises:
        UserError: the nearest existing folder above the run's is not a folder, or not writable.
    """
    folder = parent_of_runs(cfg).absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"OUTPUT_DIR {cfg.OUTPUT_DIR} cannot be used: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"OUTPUT_DIR {cfg.OUTPUT_DIR} cannot be used: {folder} is not writable")


def create_run(cfg: CfgNode) -> RunDirectory:
    """Make a new run directory, lock it and write the tree into it; an existing one is never touched.

    Raises:
        UserError: it cannot be written.
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
        run.config.write_text(cfg.dump())
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
    """Return the newest run of the same tree that can go on and that no other process is training, locked."""
    for run in runs_of(cfg):
        if run.last.is_file() and not run.finished() and run.lock():
            return run
    return None


def runs_of(cfg: CfgNode) -> Iterator[RunDirectory]:
    """Yield the run directories of the same tree that began from the same files, the newest first."""
    folder = parent_of_runs(cfg)
    for path in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []:
        run = RunDirectory(path)
        if run.config.is_file() and not differing_keys(cfg, run):
            yield run


def differing_keys(cfg: CfgNode, run: RunDirectory) -> list[str]:
    """Return the keys, among those that change what is computed, in which a run's tree differs from `cfg`.

    A key that names a file to start from counts as differing too when the file is another one than it was.
    """
    try:
        other = dict(_leaves(load_config(run.config)))
    except UserError:
        return ["(its config.yaml cannot be read)"]
    keys = [key for key, value in _leaves(cfg) if key not in IRRELEVANT and other.get(key) != value]
    return keys or [f"{key} (the file)" for key, file in input_records(cfg).items() if file["sha256"] != run.input(key)]


def _leaves(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
