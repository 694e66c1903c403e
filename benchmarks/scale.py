#!/usr/bin/env python3
"""Measure how time and memory grow with annotations and classes, with synthetic annotations and no images.

    python benchmarks/scale.py
    python benchmarks/scale.py --annotations 1000000 10000000 --classes 10000 100000

Everything is measured at each size. The last column is the exponent of growth between the first size and the last: 1 is
linear. Peaks of memory are increases.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measuring import CPU, forget_peak, peak_mb, positive
from PIL import Image

from longtail.config import load_config
from longtail.data.annotations import read_annotations
from longtail.data.augment.steps import Chain
from longtail.data.dataset import ImageSet
from longtail.data.images.files import ImageFiles
from longtail.data.loaders import FileLoader, LoaderSettings
from longtail.data.loaders.files import _earlier_occurrences
from longtail.data.long_tail import class_counts
from longtail.data.samplers import InstanceBalanced
from longtail.data.samplers.base import Sampler
from longtail.data.samplers.class_weighted import WEIGHTINGS
from longtail.evaluation import ConfusionMatrix, Evaluator, shot_accuracy
from longtail.evaluation.evaluator import MATRIX_CLASSES
from longtail.files import atomic_write
from longtail.losses import build_loss

LOSSES = ("CrossEntropy", "BalancedSoftmaxCE", "LDAMLoss")
BATCH = 256
DRAWN = 1_000_000  # samples drawn by class weights


class Cost(NamedTuple):
    """Seconds and peak increase of memory in MB."""

    seconds: float
    megabytes: float


def cost(work: Callable[[], object]) -> Cost:
    """Return the cost of one call, the faster of two."""
    seconds, peak = [], 0.0
    for _ in range(2):
        before = forget_peak(CPU)
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
        peak = max(peak, peak_mb(CPU) - before)
        del result
    return Cost(min(seconds), peak)


def of_annotations(number: int, folder: Path, *, classes: int = 1000) -> dict[str, Cost]:
    """Return the costs of a number of training images."""
    path = folder / f"{number}.json"
    with atomic_write(path, "w") as file:
        file.write(f'{{"num_classes": {classes}, "annotations": [\n')
        for index in range(number):
            entry = {"fpath": f"train/{index % classes:05d}/{index:09d}.jpg", "category_id": index % classes}
            file.write(json.dumps(entry) + (",\n" if index + 1 < number else "\n]}\n"))
    costs = {"read annotations": cost(lambda: read_annotations(path, "images"))}
    path.unlink()
    sampler = InstanceBalanced(number, 0)
    costs["order of an epoch"] = cost(lambda: sampler.indices(3))
    order = sampler.indices(3)
    costs["repeated samples of an epoch"] = cost(lambda: _earlier_occurrences(order))
    loader = _loader(number, folder)
    costs["resume in an epoch, to its batch"] = cost(lambda: next(loader.epoch(3, start=len(loader) // 2)))
    labels = torch.arange(number) % classes
    costs["count classes"] = cost(lambda: torch.bincount(labels, minlength=classes).tolist())
    return costs


def of_classes(number: int, folder: Path) -> dict[str, Cost]:
    """Return the costs of a number of classes, with features of 512."""
    counts = class_counts(1000, number, 0.01)
    labels = torch.randint(number, (BATCH,), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(BATCH, number, requires_grad=True)
    costs: dict[str, Cost] = {}
    for name in LOSSES:
        cfg = load_config(None, ["LOSS.LOSS_TYPE", name])
        loss = build_loss(cfg, counts)
        costs[f"loss {name}, batch {BATCH}"] = cost(lambda loss=loss: loss(logits, labels).backward())  # type: ignore[misc]
    costs |= _of_evaluation(logits.detach(), labels, counts)
    balanced = _balanced(number)
    costs[f"draw {DRAWN:,} by class weights"] = cost(lambda: balanced.indices(1))
    head = torch.nn.Linear(512, number)
    state: dict[str, Any] = {"head": head.state_dict()}
    costs["save the head"] = cost(lambda: _save(folder / "head.pth", state))
    return costs


def _of_evaluation(logits: torch.Tensor, labels: torch.Tensor, counts: Sequence[int]) -> dict[str, Cost]:
    """Return the costs of evaluating one network."""
    number, costs = len(counts), {}
    if number <= MATRIX_CLASSES:
        matrix = ConfusionMatrix(number)
        costs["confusion matrix, one batch"] = cost(lambda: matrix.update(labels, labels))
        costs["shot groups of a matrix"] = cost(lambda: shot_accuracy(matrix, counts))
    evaluator = Evaluator(number, 1, counts)
    costs["evaluator, one batch"] = cost(lambda: evaluator.update(logits[None], labels))
    costs["shot groups and all metrics"] = cost(evaluator.results)
    costs["counts of the evaluator"] = Cost(0, sum(part.nbytes for part in evaluator.state()) / 1e6)
    return costs


def _loader(number: int, folder: Path) -> FileLoader:
    """Return a loader of one image file under many indices."""
    path = folder / "image.png"
    Image.new("RGB", (8, 8)).save(path)
    labels = torch.zeros(number, dtype=torch.int64)
    settings = LoaderSettings(sampler=InstanceBalanced(number, 0), labels=labels, batch_size=BATCH, seed=0)
    return FileLoader(ImageFiles([str(path)] * number), [Chain(())], settings=settings, workers=0)


def _balanced(classes: int) -> Sampler:
    """Return a sampler that draws all classes of a number of images equally often."""
    labels = (torch.arange(DRAWN) % classes).tolist()
    made_up = ImageSet.from_tensor("made up", torch.empty(0), labels=labels, num_classes=classes)
    cfg = load_config(None, ["TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE", "balance"])
    return WEIGHTINGS.get("balance")(cfg, made_up)


def _save(path: Path, state: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        torch.save(state, file)


def report(title: str, sizes: Sequence[int], costs: Sequence[dict[str, Cost]]) -> None:
    """Print a table: one row per piece of work, one column per size."""
    print(f"{title:<34}" + "".join(f"{size:>22,}" for size in sizes) + "  growth")
    for name in costs[0]:
        row = [one.get(name) for one in costs]
        cells = "".join("{:>22}".format(f"{c.seconds:.3g} s {c.megabytes:,.0f} MB" if c else "-") for c in row)
        known = [(size, c.seconds) for size, c in zip(sizes, row, strict=True) if c and c.seconds > 0]
        growth = "-"
        if len(known) > 1:
            growth = f"{math.log(known[-1][1] / known[0][1]) / math.log(known[-1][0] / known[0][0]):.2f}"
        print(f"{name:<34}{cells}  {growth}")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", nargs="+", type=positive, default=[100_000, 1_000_000], metavar="N")
    parser.add_argument("--classes", nargs="+", type=positive, default=[1_000, 10_000], metavar="C")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as text:
        report("annotations", options.annotations, [of_annotations(n, Path(text)) for n in options.annotations])
        report("classes", options.classes, [of_classes(c, Path(text)) for c in options.classes])
    return 0


if __name__ == "__main__":
    sys.exit(main())
