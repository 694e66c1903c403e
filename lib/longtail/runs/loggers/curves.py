"""The numbers of a record under the names that every logger uses."""

import math

from longtail.runs.loggers.base import Record


def curves(record: Record) -> dict[str, float]:
    """Return {tag: value} for the finite numbers in a record."""
    split = record["split"]
    values = {f"{key}/{split}": value for key, value in record.items() if isinstance(value, (int, float))}
    values.pop(f"epoch/{split}", None)
    for name, accuracy in record.get("ensemble", {}).items():
        values[f"ensemble/{name}"] = accuracy
    for number, expert in enumerate(record.get("experts", ()), start=1):
        values[f"experts/{number}"] = expert.get("top1", math.nan)
    for name, recall in record.get("recall", {}).items():
        values[f"recall/{name}"] = recall
    return {tag: float(value) for tag, value in values.items() if math.isfinite(value)}
