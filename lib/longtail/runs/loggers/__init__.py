"""Loggers: metrics.jsonl, TensorBoard, Weights & Biases and MLflow."""

from longtail.runs.loggers import mlflow, tensorboard, wandb  # noqa: F401  (they register themselves)
from longtail.runs.loggers.base import LOGGERS, Logger, Record, build_loggers, check_loggers, logger_names
from longtail.runs.loggers.jsonl import read_history

__all__ = ["LOGGERS", "Logger", "Record", "build_loggers", "check_loggers", "logger_names", "read_history"]
