"""One run in each of its processes: its directory, its loggers and the state from which it resumes."""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from longtail.checkpoint_file import save_checkpoint
from longtail.distributed import Place, from_main, launch_name
from longtail.files import remove_temporary_files
from longtail.runs.console import log_to_file, remembering_messages
from longtail.runs.directory import create_run
from longtail.runs.loggers import Logger, Record, build_loggers, logger_names
from longtail.runs.results import RunFacts
from longtail.runs.resume import ResumePoint, find_resume_point, load_compatible

logger = logging.getLogger(__name__)


class Run:
    """A run. Process 0 writes its files; in the others, writing does nothing.

    Args:
        cfg: Config of the run.
        place: Processes and devices.
        point: State from which it resumes, found by process 0.

    Attributes:
        directory: Run directory; None in processes that do not write, and before `begin` creates a new one.
        finished: Whether the run to resume is finished.
    """

    def __init__(self, cfg: CfgNode, place: Place, point: ResumePoint) -> None:
        self.cfg = cfg
        self.place = place
        self.point = point
        self.checkpoint: Path | None = from_main(point.checkpoint)
        self.directory = point.run
        self.finished: bool = from_main(point.run is not None and point.run.finished())
        self._loggers: list[Logger] = []
        self._early = contextlib.ExitStack()
        self._messages = self._early.enter_context(remembering_messages())  # until there is a log
        self._log = contextlib.ExitStack()

    def read_checkpoint(self, facts: RunFacts) -> dict[str, Any] | None:
        """Return the content of the checkpoint to resume from; None: start from scratch.

        Args:
            facts: Facts of the run.

        Raises:
            UserError: It is damaged, or does not fit.
        """
        return load_compatible(self.checkpoint, facts) if self.checkpoint else None

    def begin(self, epoch: int) -> None:
        """Create the directory if it is new, and open log and loggers.

        Args:
            epoch: First epoch that will be logged.

        Raises:
            UserError: The directory cannot be written.
        """
        if self.place.main:
            self.directory = self.directory or create_run(self.cfg)
            remove_temporary_files(self.directory.path)
            remove_temporary_files(self.directory.models)
            for file in self.point.damaged:  # otherwise the next save would replace an intact previous.pth by it
                file.unlink(missing_ok=True)
            self._log.enter_context(log_to_file(self.directory.log, self._messages))
        self._early.close()
        if self.directory:
            self._loggers = build_loggers(logger_names(self.cfg), self.directory, epoch=epoch)

    def log(self, *records: Record) -> None:
        """Write the records of an epoch; the error of one logger does not keep them from the others."""
        with contextlib.ExitStack() as stack:
            for destination in reversed(self._loggers):
                stack.callback(_write, destination, records)

    def save(self, name: str, content: dict[str, Any]) -> None:
        """Write a checkpoint to models/; an existing last.pth is kept as previous.pth."""
        if self.directory:
            path = self.directory.models / name
            keep = self.directory.previous if path == self.directory.last else None
            save_checkpoint(path, content, keep=keep)

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file."""
        if self.directory:
            self.directory.write_json(name, content)

    def close(self, *, failed: bool = False) -> None:
        """Close loggers and log, and release the lock, also after an error.

        Args:
            failed: An error is being reported; those of loggers are only logged.
        """
        with contextlib.ExitStack() as stack:
            if self.directory:
                stack.callback(self.directory.unlock)
            stack.callback(self._log.close)
            stack.callback(self._early.close)
            for destination in reversed(self._loggers):
                stack.callback(_close, destination, failed)


def _write(destination: Logger, records: Iterable[Record]) -> None:
    for record in records:
        destination.write(record)


def _close(destination: Logger, failed: bool) -> None:
    try:
        destination.close()
    except Exception as error:
        if not failed:
            raise
        logger.error("%s", error)


@contextlib.contextmanager
def open_run(cfg: CfgNode, place: Place, resume: str) -> Iterator[Run]:
    """Open a run, new or resumed; within the block its directory is locked.

    Args:
        cfg: Config.
        place: Processes and devices.
        resume: "auto", "never", or the path of a run directory or checkpoint.

    Raises:
        UserError: There is nothing to resume at that path, or another process is training the run.
    """
    point = ResumePoint()
    if place.main:
        point = find_resume_point(cfg, resume, launch=launch_name() if place.world.restarts else "")
    run = Run(cfg, place, point)
    try:
        yield run
    except BaseException:
        run.close(failed=True)
        raise
    run.close()
