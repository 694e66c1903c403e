"""Log messages go to the terminal and to the log of the run."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

_LOGGER = logging.getLogger("longtail")


class _Terminal(logging.Handler):
    """Writes to standard output without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def log_to_terminal(quiet: bool = False) -> None:
    """Show messages on the terminal; with quiet, warnings only."""
    handler = _Terminal()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.setLevel(logging.WARNING if quiet else logging.INFO)
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(logging.INFO)


@contextlib.contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Within the block, append messages to a file as well, each with its time."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        handler.close()
