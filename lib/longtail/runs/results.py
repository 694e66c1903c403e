"""The outcome of a run: the only place that knows the keys of results.json."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from longtail.runs.folder import finite

Evaluation = dict[str, Any]  # {"ensemble": {...}, "experts": [{...}], "loss": ...} of `Evaluator.results`


LOWEST_IS_BEST = ("nll", "ece")  # metrics of which the lowest value is the best


@dataclass(frozen=True)
class RunFacts:
    """Facts that are known before a run starts; the head of results.json and of checkpoints.

    Attributes:
        config: Path of the config, as the command names it.
        seed: RAND_SEED.
        epochs: Number of epochs.
        classes: C.
        images: Number of training images.
        experts: Number of heads E.
        parameters: Number of parameters of the network.
        precision: off, bf16 or fp16.
        architecture: Backbones and heads in words.
        heads: Kind of each head.
        fingerprint: Digest of the training images.
        valid_fingerprint: Digest of the validation images.
        optimizer_type: Class of the optimizer.
        weights: Report of each weights file that was loaded, see `check_loaded`.
        class_counts: Training images per class, (C,).
        class_names: Names of the classes, (C,); empty if they have none.
    """

    config: str
    seed: int
    epochs: int
    classes: int
    images: int
    experts: int
    parameters: int
    precision: str
    architecture: str
    heads: list[str] = field(default_factory=list)
    fingerprint: str = ""
    valid_fingerprint: str = ""
    optimizer_type: str = ""
    weights: list[dict[str, Any]] = field(default_factory=list)
    class_counts: list[int] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        return asdict(self)


class Results:
    """Best and last evaluation of a run.

    Args:
        select_by: Metric that decides what is best, a key of the accuracies of an `Evaluator`.

    Attributes:
        best: {"epoch", "ensemble": {...}, "experts": [{...}]} of the epoch with the best ensemble; the first of ties.
        best_single: {"epoch", "expert" (from 1), "top1"} of the best single expert in any epoch, and its metric
            `select_by`.
        last: Like `best`, for the latest evaluated epoch.
    """

    def __init__(self, select_by: str = "top1") -> None:
        self.select_by = select_by
        self.best: Evaluation | None = None
        self.best_single: dict[str, Any] | None = None
        self.last: Evaluation | None = None

    def add(self, epoch: int, evaluation: Evaluation) -> tuple[bool, bool]:
        """Add the evaluation of an epoch; return whether the ensemble and the best single expert have improved."""
        self.last = {"epoch": epoch, "ensemble": evaluation["ensemble"], "experts": evaluation["experts"]}
        better = self.best is None or self._score(evaluation["ensemble"]) > self._score(self.best["ensemble"])
        if better:
            self.best = self.last
        scores = [self._score(expert) for expert in evaluation["experts"]]
        number = scores.index(max(scores))
        better_single = self.best_single is None or scores[number] > self._score(self.best_single)
        if better_single:
            metrics = {"top1": 0.0, **evaluation["experts"][number]}
            kept = {key: metrics[key] for key in ("top1", self.select_by) if key in metrics}
            self.best_single = {"epoch": epoch, "expert": number + 1, **kept}
        return better, better_single

    def _score(self, metrics: Mapping[str, Any]) -> float:
        """Return the selected metric, negated if the lowest value is the best."""
        if self.select_by in LOWEST_IS_BEST:
            return -float(metrics.get(self.select_by, math.inf))
        return float(metrics.get(self.select_by, 0.0))

    def state_dict(self) -> dict[str, Any]:
        """Return the results as plain values."""
        return {"best": self.best, "best_single": self.best_single, "last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore saved results."""
        self.best, self.best_single, self.last = state["best"], state["best_single"], state["last"]


def outcome(facts: RunFacts, results: Results, *, seconds: float, extra: dict[str, Any]) -> dict[str, Any]:
    """Return the content of results.json of a training.

    Args:
        facts: Facts of the run.
        results: Best and last evaluation.
        seconds: Duration of the run, including earlier processes.
        extra: Further entries.
    """
    return {**facts.to_json(), "seconds": round(seconds, 1), **results.state_dict(), **extra}


def evaluation_outcome(head: dict[str, Any], *, epoch: int, evaluation: Evaluation, seconds: float) -> dict[str, Any]:
    """Return the content of results.json of a stage that evaluates a checkpoint of an earlier one.

    Args:
        head: Entries "config", "seed", "checkpoint".
        epoch: Epoch of the checkpoint.
        evaluation: Its evaluation.
        seconds: Duration.
    """
    entry = {"epoch": epoch, "ensemble": evaluation["ensemble"], "experts": evaluation["experts"]}
    bad = {key: evaluation[key] for key in ("bad_images",) if key in evaluation}
    return sealed({**head, "epochs": 0, "seconds": round(seconds, 1), "best": entry, "last": entry, **bad})


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of results.json of a finished run, with its digest."""
    finished = {**content, "finished": True}
    return {**finished, "checksum": digest_of(finished)}


def is_finished(content: Any) -> bool:
    """Return whether the content of a results.json is that of a finished run, and unchanged.

    Results of older versions have no digest.
    """
    if not isinstance(content, dict) or content.get("finished") is not True:
        return False
    stated = content.get("checksum")
    if stated is None:
        return "seconds" in content and is_outcome(content)
    return bool(stated == digest_of({key: value for key, value in content.items() if key != "checksum"}))


def is_outcome(content: Any) -> bool:
    """Return whether the content of a results.json has entries of the types that a run writes."""
    if not isinstance(content, dict):
        return False
    evaluations = [content[key] for key in ("last", "best") if content.get(key) is not None]
    whole = all(isinstance(entry, dict) and isinstance(entry.get("ensemble"), dict) for entry in evaluations)
    return whole and all(isinstance(content.get(key, 0), (int, float)) for key in ("epochs", "seconds", "images"))


def digest_of(content: Any) -> str:
    """Return the SHA-256 of plain values after a round trip through JSON."""
    read_again = json.loads(json.dumps(finite(content)))
    return hashlib.sha256(json.dumps(read_again, sort_keys=True).encode()).hexdigest()


def last_accuracies(content: dict[str, Any]) -> dict[str, float]:
    """Return the accuracies of the ensemble in the last evaluation; empty if nothing was evaluated."""
    accuracies: dict[str, float] = (content.get("last") or {}).get("ensemble", {})
    return accuracies
