"""Loggers: destinations of the records of a run."""

import importlib.util
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from yacs.config import CfgNode

from longtail.config import flatten, load_config
from longtail.errors import UserError
from longtail.registry import Registry
from longtail.runs.directory import RunDirectory
from longtail.runs.folder import read_json

IDENTIFIERS = "loggers.json"  # in a run directory: {logger: identifier of the run there}
PACKAGES = ("wandb", "mlflow")  # loggers that need a package and a pip extra of the same name

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
        run: Run directory.
        epoch: First epoch (from 1) that will be written; records of a stopped process from this epoch on are dropped,
            so that no epoch is listed twice.

    Raises:
        UserError: There is no such logger.
    """
    return [LOGGERS.get(name)(run, epoch) for name in names]


def logger_names(cfg: CfgNode) -> list[str]:
    """Return the loggers of a config: metrics.jsonl, TensorBoard unless it is disabled, and TRAIN.LOGGERS."""
    board = ["tensorboard"] if cfg.TRAIN.TENSORBOARD.ENABLE else []
    return list(dict.fromkeys(["jsonl", *board, *cfg.TRAIN.LOGGERS]))


def check_loggers(cfg: CfgNode) -> None:
    """Refuse a logger that does not exist, or whose package is not installed.

    Raises:
        UserError: It is refused; the message names the available loggers, or the command that installs the package.
    """
    for name in logger_names(cfg):
        LOGGERS.get(name)
        if name in PACKAGES and importlib.util.find_spec(name) is None:
            raise UserError(
                f"TRAIN.LOGGERS {name} needs the package {name}, which is not installed: pip install 'longtail[{name}]'"
            )


def identifier(run: RunDirectory, name: str, make: Callable[[], str] = lambda: uuid.uuid4().hex[:16]) -> str:
    """Return the identifier of a run in another system; it is created once, so that a resumed run keeps it.

    Args:
        run: Run directory.
        name: Name of the logger.
        make: Creates the identifier.
    """
    known = read_json(run.path / IDENTIFIERS) or {}
    if name not in known:
        known[name] = make()
        run.write_json(IDENTIFIERS, known)
    return str(known[name])


def settings_of(run: RunDirectory) -> dict[str, Any]:
    """Return {dotted key: value} of the complete config of a run."""
    return dict(flatten(load_config(run.config)))


def title(run: RunDirectory) -> str:
    """Return the name of a run in another system: NAME and the date."""
    return f"{load_config(run.config).NAME} {run.path.name}"
