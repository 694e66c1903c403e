"""The content of a report as plain values; the scripts of the page draw them."""

import math
from collections.abc import Callable
from typing import Any

from longtail.config import KEYS, flatten
from longtail.evaluation import GROUPS
from longtail.reporting.classes import class_table, confused_pairs, sparse_confusion
from longtail.reporting.experts import expert_agreement
from longtail.reporting.mistakes import worst_mistakes
from longtail.reporting.record import RunRecord
from longtail.reporting.reliability import reliability

FACTS = ("config", "seed", "epochs", "classes", "images", "experts", "parameters", "precision")

Section = Any  # a JSON value, a sentence with the reason why there is none, or None: the section is omitted


def describe_run(record: RunRecord, *, images: bool = True) -> dict[str, Any]:
    """Return the content of the report of a run, as JSON values.

    A section for which files are missing is {"missing": sentence}.

    Args:
        record: Files of the run.
        images: Read the images of the worst mistakes from the data set.
    """
    sections: dict[str, Callable[[RunRecord], Section]] = {
        "curves": _curves,
        "classes": class_table,
        "confusion": sparse_confusion,
        "pairs": confused_pairs,
        "reliability": reliability,
        "experts": expert_agreement,
        "mistakes": lambda record: worst_mistakes(record, images=images),
        "config": _config,
        "environment": _environment,
    }
    content = {name: _section(record, section) for name, section in sections.items()}
    return {
        "name": record.name,
        "path": str(record.run.path.resolve()),
        "finished": record.run.finished(),
        "facts": _facts(record),
        "metrics": _metrics(record),
        **content,
    }


def _section(record: RunRecord, section: Callable[[RunRecord], Section]) -> Section:
    content = section(record)
    if isinstance(content, str):
        return {"missing": content.format(run=record.run.path)}
    return content


def _facts(record: RunRecord) -> dict[str, Any]:
    facts = {key: record.results[key] for key in FACTS if key in record.results}
    seconds = record.results.get("seconds")
    return facts | ({"duration": _duration(seconds)} if isinstance(seconds, (int, float)) else {})


def _duration(seconds: float) -> str:
    """Return a duration with its unit."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _metrics(record: RunRecord) -> list[dict[str, Any]]:
    """Return the metrics of the best epoch, the last epoch and the evaluation, each with its source."""
    found = []
    for name, key in (("best epoch", "best"), ("last epoch", "last")):
        entry = record.results.get(key)
        if isinstance(entry, dict) and entry.get("ensemble"):
            found.append({"of": name, "epoch": entry.get("epoch"), "values": _numbers(entry["ensemble"])})
    if record.metrics and record.metrics.get("ensemble"):
        values = _numbers(record.metrics["ensemble"])
        found.append({"of": "evaluation", **_made_with(record.metrics), "values": values})
    return found


def _made_with(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return how an evaluation was made.

    Returns:
        {"checkpoint", "changed": the keys in which its config differs from that of the run, with their values,
        "chosen": the key whose value was chosen on the evaluated images, or ""}
    """
    changed, texts = metrics.get("changed"), ["unknown settings"]  # older evaluations do not record them
    if isinstance(changed, dict):
        texts = [f"{key} {_text(value)}" for key, value in changed.items()]
    checkpoint, chosen = str(metrics.get("checkpoint", "")), (metrics.get("calibration") or {}).get("key", "")
    return {"checkpoint": checkpoint.rsplit("/", 1)[-1], "changed": texts, "chosen": chosen}


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in values.items() if isinstance(value, (int, float))}


def _curves(record: RunRecord) -> Section:
    """Return {name: {"split", "points": [[epoch, value], ...]}} by chart."""
    if not record.history:
        return "metrics.jsonl holds no epochs."
    train = [entry for entry in record.history if entry["split"] == "train"]
    valid = [entry for entry in record.history if entry["split"] == "valid"]
    charts = {
        "Loss": {"train": _points(train, "loss"), "valid": _points(valid, "loss")},
        "Top-1 accuracy": {
            "train": _points(train, "top1"),
            "valid": _points(valid, "ensemble", "top1"),
            "best expert": _best_expert(valid),
        },
        "Accuracy by shot group": {name: _points(valid, "ensemble", name) for name in GROUPS},
        "Learning rate": {"train": _points(train, "lr")},
        "Gradient norm": {"train": _points(train, "gradient_norm")},
    }
    return {chart: {name: line for name, line in lines.items() if line} for chart, lines in charts.items()}


def _points(records: list[dict[str, Any]], *keys: str) -> list[list[float]]:
    points = []
    for record in records:
        value: Any = record
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (int, float)) and math.isfinite(value):
            points.append([record["epoch"], value])
    return points


def _best_expert(records: list[dict[str, Any]]) -> list[list[float]]:
    points = []
    for record in records:
        tops = [expert["top1"] for expert in record.get("experts", []) if "top1" in expert]
        if len(tops) > 1:
            points.append([record["epoch"], max(tops)])
    return points


def _config(record: RunRecord) -> Section:
    """Return the keys whose values are not the defaults."""
    if record.cfg is None:
        return "This version of longtail cannot read config.yaml."
    return {name: _text(value) for name, value in flatten(record.cfg) if value != KEYS[name].default}


def _environment(record: RunRecord) -> Section:
    if not record.environment:
        return "The run has no environment.json."
    flat: dict[str, str] = {}
    for key, value in record.environment.items():
        entries = (
            {f"{key}: {name}": entry for name, entry in value.items()} if isinstance(value, dict) else {key: value}
        )
        flat |= {name: _text(entry) for name, entry in entries.items() if entry is not None}
    return flat


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(entry)}" for name, entry in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, (list, tuple)) else str(value)
