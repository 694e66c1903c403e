"""Curves in MLflow."""

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from longtail.config import KEYS
from longtail.errors import UserError, one_line
from longtail.runs.directory import RunDirectory
from longtail.runs.loggers.base import LOGGERS, Record, identifier, settings_of, title
from longtail.runs.loggers.curves import curves

EXPERIMENT = "longtail"  # unless MLFLOW_EXPERIMENT_NAME names another
METRICS, PARAMETERS = 1000, 100  # limits of MLflow for one request
LONGEST = 500  # characters of a parameter or a message

logger = logging.getLogger(__name__)
T = TypeVar("T")


class MLflow:
    """Writes the curves of a run over its epochs; a resumed run continues the same MLflow run.

    Parameters are the keys of the config that differ from their defaults. An epoch that is trained again after a stop
    is written again, and MLflow shows the newest value.

    Args:
        run: Run directory.
    """

    def __init__(self, run: RunDirectory) -> None:
        from mlflow.tracking import MlflowClient

        self.directory = run
        with _one_line():
            self.client: Any = MlflowClient()
            self.run = identifier(run, "mlflow", self._create)
            self.client.update_run(self.run, status="RUNNING")
        logger.info("mlflow: run %s", self.run)

    def _create(self) -> str:
        """Create the MLflow run and return its identifier."""
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        known = self.client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self.client.create_experiment(name)
        run = self.client.create_run(experiment, run_name=title(self.directory)).info.run_id
        changed = [(key, value) for key, value in settings_of(self.directory).items() if value != KEYS[key].default]
        for part in _parts([Param(key, str(value)[:LONGEST]) for key, value in changed], PARAMETERS):
            self.client.log_batch(run, params=part)
        return str(run)

    def write(self, record: Record) -> None:
        """Write the curves of a record."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(metric_name(tag), value, now, record["epoch"]) for tag, value in curves(record).items()]
        with _one_line():
            for part in _parts(metrics, METRICS):
                self.client.log_batch(self.run, metrics=part)

    def close(self) -> None:
        """Write whether the run is finished."""
        with _one_line():
            self.client.set_terminated(self.run, status="FINISHED" if self.directory.finished() else "KILLED")


def metric_name(tag: str) -> str:
    """Return a tag with the characters that MLflow does not allow, for example in class names, replaced by "_"."""
    return re.sub(r"[^/\w.\- ]", "_", tag)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Within the block, report errors of MLflow in one line."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        reason = one_line(error, LONGEST)
        raise UserError(f"TRAIN.LOGGERS mlflow: {reason}") from None


@LOGGERS.register("mlflow")
def build(run: RunDirectory, epoch: int) -> MLflow:
    """Build the logger of MLflow."""
    return MLflow(run)
