"""Loggers: metrics.jsonl and TensorBoard."""

from longtail.runs.loggers import tensorboard  # noqa: F401  (registers itself)
from longtail.runs.loggers.base import LOGGERS, Logger, Record, build_loggers
from longtail.runs.loggers.jsonl import read_history

__all__ = ["LOGGERS", "Logger", "Record", "build_loggers", "read_history"]
