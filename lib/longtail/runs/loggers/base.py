"""Loggers: where the records of a run go."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from longtail.registry import Registry
from longtail.runs.directory import RunDirectory

Record = dict[str, Any]  # one epoch and split: {"epoch", "split": "train" or "valid", ...}


class Logger(Protocol):
    """Receives one record per epoch and split."""

    def write(self, record: Record) -> None:
        """Write a record."""

    def close(self) -> None:
        """Close files and connections."""


LOGGERS: Registry[Callable[[RunDirectory, int], Logger]] = Registry("logger")


def build_loggers(names: Sequence[str], run: RunDirectory, *, epoch: int) -> list[Logger]:
    """Build the loggers with the given names.

    Args:
        names: Names in the registry.
        run: Where they write.
        epoch: First epoch (from 1) that will be written; records of a stopped process from it on are dropped, so that
            no epoch is listed twice.

    Raises:
        UserError: There is no such logger.
    """
    return [LOGGERS.get(name)(run, epoch) for name in names]
