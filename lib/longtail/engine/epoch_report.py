"""What a run reports of an epoch: lines of the log, and the accuracy of every class."""

import logging
from typing import Any

from longtail.evaluation import Evaluator, recall_by_class, summary
from longtail.runs.progress import clock
from longtail.runs.results import RunFacts

logger = logging.getLogger(__name__)

LOGGED_CLASSES = 100  # classes up to which the accuracy of every class is logged


def class_recall(evaluator: Evaluator | None, facts: RunFacts) -> dict[str, Any]:
    """Return {"recall": {"<id> <name>": accuracy of the ensemble in that class}}; {} for more than 100 classes."""
    if evaluator is None or facts.classes > LOGGED_CLASSES:
        return {}
    return {"recall": recall_by_class(evaluator.per_class("ensemble"), facts.class_names)}


def log_epoch(record: dict[str, Any], evaluation: dict[str, Any] | None, *, epochs: int, seconds: float) -> None:
    """Log an epoch.

    Args:
        record: Record of its training.
        evaluation: Results of its evaluation, if there was one.
        epochs: Epochs of the run.
        seconds: Duration of the run so far.
    """
    logger.info(
        "epoch %d/%d: loss %.4f, acc %.2f %%, lr %.4g, %.0f images/s, %s",
        *(record["epoch"], epochs, record["loss"], 100 * record["top1"], record["lr"]),
        *(record["images_per_second"], clock(seconds)),
    )
    for line in summary(evaluation) if evaluation else []:
        logger.info("  %s", line)
