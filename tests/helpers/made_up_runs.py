"""Finished runs with synthetic results, of any number of classes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from longtail.config import load_config, to_yaml
from longtail.evaluation import Classes, ConfusionMatrix, Samples, write_confusion_npz, write_per_class, write_samples


def made_up_run(
    folder: Path, classes: int = 10, *, per_class: int = 20, seed: int = 0, experts: int = 3, names: Sequence[str] = ()
) -> Path:
    """Write a run directory with the files of a training and an evaluation.

    Args:
        folder: Run directory to create.
        classes: Number of classes C.
        per_class: Validation images of each class.
        seed: Of the made-up predictions.
        experts: Number of experts.
        names: Names of the classes, (C,).
    """
    rng = np.random.default_rng(seed)
    counts = [max(1, round(1000 * 0.005 ** (i / max(1, classes - 1)))) for i in range(classes)]
    samples = _samples(rng, classes, per_class, experts=experts)
    accuracy = float((samples.prediction[-1] == samples.label).mean())
    folder.mkdir(parents=True)
    (folder / "figures").mkdir()
    cfg = load_config("digits_lt,ncl", ["RAND_SEED", seed, "NAME", "made_up", "OUTPUT_DIR", str(folder)])
    (folder / "config.yaml").write_text(to_yaml(cfg))
    environment = {"command": "longtail train <b>x</b>", "versions": {"torch": "2.14"}, "commit": None}
    (folder / "environment.json").write_text(json.dumps(environment))
    _write_history(folder / "metrics.jsonl", rng, accuracy, experts=experts)
    ensemble = {"top1": accuracy, "many": min(1.0, accuracy + 0.1), "few": max(0.0, accuracy - 0.2), "nll": 1.25}
    entry = {"epoch": 40, "ensemble": ensemble, "experts": [{"top1": accuracy}] * experts}
    facts = {"config": "digits_lt,ncl", "seed": seed, "classes": classes, "parameters": 1391916, "seconds": 4321.5}
    (folder / "results.json").write_text(json.dumps({**facts, "best": entry, "last": entry, "finished": True}))
    _write_evaluation(folder / "evaluation" / "2026-01-31-12-00-00", samples, counts=counts, names=names)
    return folder


def _samples(rng: np.random.Generator, classes: int, per_class: int, *, experts: int) -> Samples:
    label = np.repeat(np.arange(classes), per_class)
    right = rng.random((experts + 1, len(label))) < 0.9 - 0.7 * label / classes
    confused = np.minimum(label // 7 * 7, classes - 1)  # a class near it that is larger
    wrong = np.where(rng.random(right.shape) < 0.6, confused, rng.integers(0, classes, right.shape))
    prediction = np.where(right, label, wrong)
    confidence = rng.uniform(0.3, 1.0, right.shape).astype(np.float32)
    own = np.where(prediction == label, confidence, (1 - confidence) / 2)
    return Samples(np.arange(len(label)), label, prediction, confidence, own.astype(np.float32))


def _write_history(path: Path, rng: np.random.Generator, accuracy: float, *, experts: int) -> None:
    lines = []
    for epoch in range(1, 41):
        now = accuracy * (1 - 0.9**epoch)
        loss = float(234 if epoch == 1 else 3 * 0.93**epoch + 0.05 * rng.random())
        lines.append(
            {"epoch": epoch, "split": "train", "loss": loss, "top1": now + 0.05, "lr": 0.1, "gradient_norm": 2.0}
        )
        ensemble = {"top1": now, "many": now + 0.1, "medium": now, "few": max(0, now - 0.2)}
        singles = [{"top1": max(0.0, now - 0.02 * i)} for i in range(experts)]
        lines.append({"epoch": epoch, "split": "valid", "loss": loss + 0.3, "ensemble": ensemble, "experts": singles})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _write_evaluation(folder: Path, samples: Samples, *, counts: list[int], names: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    cm = ConfusionMatrix(len(counts))
    cm.update(samples.prediction[-1], samples.label)
    write_per_class(folder / "per_class_ensemble.csv", cm, Classes(counts, names))
    write_confusion_npz(folder / "confusion_ensemble.npz", cm, class_counts=counts)
    write_samples(folder / "samples.npz", samples)
    results = {"checkpoint": "models/best.pth", "ensemble": {"top1": cm.accuracy()}, "changed": {}}
    (folder / "results.json").write_text(json.dumps(results))
