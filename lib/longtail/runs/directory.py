"""The run directory: all files that one training writes."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.config import KEYS, flatten, load_config, to_yaml, value_of
from longtail.errors import UserError
from longtail.files import remove_temporary_files
from longtail.output_folders import CONFIG, ENVIRONMENT, INPUTS, LAST, PREVIOUS, RESULTS
from longtail.runs.folder import LockedFolder, read_json
from longtail.runs.inputs import differing_inputs, input_keys, input_records
from longtail.runs.results import is_finished
from longtail.user_files import check_path, os_error, translating

logger = logging.getLogger(__name__)

LAUNCH = "launch"  # entry of environment.json, see `launch_name`


class RunDirectory(LockedFolder):
    """The directory OUTPUT_DIR/NAME/<date-time>/ and the names of the files in it."""

    @property
    def config(self) -> Path:
        """The complete config."""
        return self.path / CONFIG

    @property
    def models(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "models"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.models / LAST

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self.path / "figures"

    def make_figures(self) -> Path:
        """Create the folder of the figures if it is missing, as in a copy without empty folders, and return it.

        Raises:
            UserError: It cannot be created.
        """
        with translating(self.figures, "folder"):
            self.figures.mkdir(exist_ok=True)
        return self.figures

    @property
    def log(self) -> Path:
        """Text log."""
        return self.path / "train.log"

    @property
    def metrics(self) -> Path:
        """One JSON object per epoch and split."""
        return self.path / "metrics.jsonl"

    @property
    def environment(self) -> Path:
        """Versions, hardware, command, and the fingerprints of the images, as JSON."""
        return self.path / ENVIRONMENT

    @property
    def inputs(self) -> Path:
        """Files that the run started from, each with its SHA-256."""
        return self.path / INPUTS

    @property
    def results(self) -> Path:
        """The outcome, as JSON."""
        return self.path / RESULTS

    @property
    def previous(self) -> Path:
        """The checkpoint before the newest one."""
        return self.models / PREVIOUS

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints from which a training can be resumed, the newest first."""
        numbered = {file: re.fullmatch(r"epoch_(\d{1,18})", file.stem) for file in self.models.glob("epoch_*.pth")}
        epochs = sorted((int(match[1]), file) for file, match in numbered.items() if match)
        files = [self.last, self.previous, *(file for _, file in reversed(epochs))]
        return [file for file in files if file.is_file()]

    def finished(self) -> bool:
        """Return whether the last epoch has been trained, and results and figures are written."""
        return is_finished(read_json(self.results))


def parent_of_runs(cfg: CfgNode) -> Path:
    """Return OUTPUT_DIR/NAME."""
    return Path(str(cfg.OUTPUT_DIR)) / str(cfg.NAME)


def check_writable(cfg: CfgNode) -> None:
    """Refuse an OUTPUT_DIR in which no run can be written, without creating anything.

    Raises:
        UserError: The nearest existing folder above the run's is not a folder, or not writable.
    """
    check_path(parent_of_runs(cfg), "OUTPUT_DIR")
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
    except OSError as error:
        raise os_error(error, parent_of_runs(cfg), kind="run directory", verb="written") from None
    run.lock()
    for other in _unreadable_runs(run.path.parent):
        logger.warning("%s is not resumed: its config.yaml is damaged", other)
    _remove_leftovers(run)
    run.write_text(run.config.name, to_yaml(absolute_paths(cfg)))
    run.write_json(run.inputs.name, input_records(cfg))
    return run


def _remove_leftovers(new: RunDirectory) -> None:
    """Remove temporary files that killed processes left in the other runs of this folder, except in running ones."""
    for path in new.path.parent.iterdir():
        run = RunDirectory(path)
        folders = (path, run.models)
        if path == new.path or not any(any(folder.glob(".*.tmp")) for folder in folders):
            continue
        with contextlib.suppress(UserError):  # another user's run, which cannot be locked
            if run.lock():
                for folder in folders:
                    remove_temporary_files(folder)
                run.unlock()


def _unreadable_runs(folder: Path) -> list[Path]:
    """Return the run directories in a folder whose configs are damaged, so that they cannot be identified."""
    damaged = []
    for config in sorted(folder.glob("*/config.yaml")):
        try:
            load_config(config)
            readable = config.stat().st_size > 0
        except (UserError, OSError):
            readable = False
        if not readable:
            damaged.append(config.parent)
    return damaged


def absolute_paths(cfg: CfgNode) -> CfgNode:
    """Return a config whose paths are absolute, so that it means the same from every folder."""
    copy = cfg.clone()
    copy.defrost()
    for name, key in KEYS.items():
        path = value_of(cfg, name)
        if key.file and path:
            copy.merge_from_list([name, os.path.abspath(path)])
    copy.freeze()
    return copy


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def run_to_resume(cfg: CfgNode, launch: str = "") -> RunDirectory | None:
    """Return the newest run of the same config that has a checkpoint: finished, or unfinished and then locked.

    Runs that other processes are training are passed over; a finished one before them does not count.

    Args:
        cfg: Config.
        launch: Only runs of this launch, see `launch_name`; empty: all.
    """
    busy = False
    for run in runs_of(cfg):
        if not run.checkpoints() or (launch and _launch_of(run) != launch):
            continue
        if run.finished():
            return None if busy else run
        try:
            if run.lock():
                return run
            logger.warning("%s is being trained by another process", run.path)
        except UserError as error:  # another user's run
            logger.warning("%s is not resumed: %s", run.path, error)
        busy = True
    return None


def _launch_of(run: RunDirectory) -> str:
    """Return the launch of torchrun that trained a run last."""
    content = read_json(run.environment)
    return str(content.get(LAUNCH, "")) if isinstance(content, dict) else ""


def runs_of(cfg: CfgNode) -> Iterator[RunDirectory]:
    """Yield the run directories of the same config that started from the same files, the newest first."""
    folder = parent_of_runs(cfg)
    for path in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []:
        run = RunDirectory(path)
        if run.config.is_file() and not differing_keys(cfg, run):
            yield run


def differing_keys(cfg: CfgNode, run: RunDirectory) -> list[str]:
    """Return the keys in which a run differs from a config, among those that change what is computed.

    For a key that names a file to start from, the content of the file is compared, and whether it is used.
    """
    try:
        keys = list(differing_values(cfg, run))
    except UserError:
        return ["(its config.yaml cannot be read)"]
    return keys or [f"{name} (the file)" for name in differing_inputs(read_json(run.inputs), input_records(cfg))]


def differing_values(cfg: CfgNode, run: RunDirectory) -> dict[str, Any]:
    """Return {key: value} of a config where it differs from that of a run, see `differing_keys`; without input files.

    Raises:
        UserError: The config of the run cannot be read.
    """
    other, files = dict(flatten(load_config(run.config))), set(input_keys())
    compared = [name for name, key in KEYS.items() if key.result and name not in files]
    values = dict(flatten(absolute_paths(cfg)))
    return {name: values[name] for name in compared if other.get(name) != values[name]}
