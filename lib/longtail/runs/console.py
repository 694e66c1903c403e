"""Logging to the terminal and to the log of the run."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from longtail.standard_output import discard_output
from longtail.user_files import os_error, translating

_LOGGER = logging.getLogger("longtail")


class _Terminal(logging.Handler):
    """Writes to standard output without breaking a progress bar.

    A run does not depend on it: if the pipe is closed, the terminal is gone or the disk is full, only the log of the
    run is written.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tqdm.write(self.format(record), file=sys.stdout)
            sys.stdout.flush()
        except OSError as error:
            _LOGGER.removeHandler(self)
            discard_output()
            if _LOGGER.handlers or not isinstance(error, BrokenPipeError):  # without handlers: on standard error
                _LOGGER.warning("standard output can no longer be written: %s", error.strerror or error)


class _LogFile(logging.FileHandler):
    """A log file whose errors end the run instead of being printed as tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Report the error of the operating system in one line."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise os_error(error, self.baseFilename, kind="log", verb="written") from None
        super().handleError(record)


def log_to_terminal(quiet: bool = False) -> None:
    """Show messages on the terminal; with `quiet`, only warnings."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that the terminal cannot show
    handler = _Terminal()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.setLevel(logging.WARNING if quiet else logging.INFO)
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(logging.INFO)


@contextlib.contextmanager
def remembering_messages() -> Iterator[list[logging.LogRecord]]:
    """Within the block, collect messages, for a log that is opened later."""
    records: list[logging.LogRecord] = []

    class _Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = _Collector()
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    try:
        yield records
    finally:
        _LOGGER.removeHandler(handler)


@contextlib.contextmanager
def log_to_file(path: Path, earlier: list[logging.LogRecord] | None = None) -> Iterator[None]:
    """Within the block, append messages to a file as well, each with its time.

    Args:
        path: File.
        earlier: Messages that came before the file was opened; they are written first.
    """
    with translating(path, "log"):
        handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for record in earlier or ():
        handler.emit(record)
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        with contextlib.suppress(OSError):
            handler.close()
