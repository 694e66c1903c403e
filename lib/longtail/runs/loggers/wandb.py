"""Curves in Weights & Biases."""

import logging
import os
from typing import Any

from longtail.errors import UserError, one_line
from longtail.runs.directory import RunDirectory
from longtail.runs.loggers.base import LOGGERS, Record, identifier, settings_of, title
from longtail.runs.loggers.curves import curves

PROJECT = "longtail"  # unless WANDB_PROJECT names another

logger = logging.getLogger(__name__)


class WeightsAndBiases:
    """Writes the curves of a run over its epochs; a resumed run continues the same W&B run.

    An epoch that is trained again after a stop is written again, and W&B shows the newest value.

    Args:
        run: Run directory; local files are written to its folder wandb/.
    """

    def __init__(self, run: RunDirectory) -> None:
        import wandb

        try:
            self.run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=title(run),
                id=identifier(run, "wandb"),
                dir=str(run.path),
                config=settings_of(run),
                resume="allow",
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.errors.Error as error:
            reason = one_line(error)
            raise UserError(f"TRAIN.LOGGERS wandb: {reason}; run wandb login, or set WANDB_MODE=offline") from None
        self.run.define_metric("epoch")
        self.run.define_metric("*", step_metric="epoch")
        logger.info("wandb: %s", self.run.url or self.run.dir)

    def write(self, record: Record) -> None:
        """Write the curves of a record."""
        self.run.log({"epoch": record["epoch"], **curves(record)})

    def close(self) -> None:
        """Send the remaining records."""
        self.run.finish()


@LOGGERS.register("wandb")
def build(run: RunDirectory, epoch: int) -> WeightsAndBiases:
    """Build the logger of Weights & Biases."""
    return WeightsAndBiases(run)
