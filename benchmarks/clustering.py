#!/usr/bin/env python3
"""Compare the clustering of all classes into subclasses (SBCL) at ImageNet-LT's size with scikit-learn's KMeans.

    python benchmarks/clustering.py
    python benchmarks/clustering.py --counts ImageNet_LT_num_shots.npz --delta 20
    python benchmarks/clustering.py --rules capped --rounds 3 --json record.json

Features are synthetic: unit vectors around a few centers in each class. Without --counts, so are the class sizes: 1,000
classes of 1,280 to 5 images. KMeans clusters one class after the other from k-means++ starts; it does not cap the
sizes, so its time is only a rough comparison.

Exit code: 0, or 2 for an invalid command.
"""

import argparse
import sys

import numpy as np
import torch
from measuring import Row, footer, interleaved, machine, positive, table, write_record
from torch import Tensor
from torch.nn import functional as F

from longtail.clustering import RULES, cluster_classes, subclass_numbers

WIDTH, CENTERS = 128, 12


def made_up_counts(classes: int = 1000, largest: int = 1280, *, smallest: int = 5) -> list[int]:
    """Return class sizes similar to those of ImageNet-LT."""
    rank = np.linspace(0, 1, classes)
    return np.maximum(largest * np.exp(-4.5 * rank**0.54), smallest).astype(int).tolist()


def made_up_features(counts: list[int]) -> tuple[Tensor, Tensor]:
    """Return unit vectors (N, 128) around several centers in each class, and labels (N,), in random order."""
    random = torch.Generator().manual_seed(0)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=random)]
    centers = torch.randn(len(counts), 1, WIDTH, generator=random)
    centers = centers + 0.7 * torch.randn(len(counts), CENTERS, WIDTH, generator=random)
    features = 0.5 * torch.randn(len(labels), WIDTH, generator=random)
    features += centers[labels, torch.randint(CENTERS, (len(labels),), generator=random)]
    return F.normalize(features, dim=1), labels


def by_scikit_learn(features: Tensor, labels: Tensor, numbers: list[int]) -> Tensor:
    """Return subclasses from scikit-learn's KMeans in each class, as `cluster_classes` does."""
    from sklearn.cluster import KMeans

    found, offset = torch.zeros_like(labels), 0
    for members, number in zip(labels.argsort().split(torch.bincount(labels).tolist()), numbers, strict=True):
        if number > 1:
            means = KMeans(number, n_init=1, max_iter=RULES.get("kmeans").max_iterations, random_state=0)
            found[members] = torch.from_numpy(means.fit_predict(features[members].numpy())).long()
        found[members] += offset
        offset += number
    return found


def quality(features: Tensor, subclasses: Tensor, number: int) -> str:
    """Return how close the samples are to the mean direction of their subclass, and the sizes of the subclasses."""
    means = torch.zeros(number, WIDTH).index_add_(0, subclasses, features)
    cosine = (features * F.normalize(means, dim=1)[subclasses]).sum(1).mean()
    sizes = torch.bincount(subclasses, minlength=number)
    return f"mean cosine {cosine:.4f}, sizes {int(sizes.min())} to {int(sizes.max())}"


def measure(
    counts: list[int] | None = None, delta: int = 20, *, rules: list[str] | None = None, rounds: int = 1
) -> list[Row]:
    """Return a row per rule; see the module."""
    counts = counts or made_up_counts()
    features, labels = made_up_features(counts)
    numbers = subclass_numbers(counts, delta)
    found: dict[str, Tensor] = {}

    def ours(rule: str) -> None:
        found[rule] = cluster_classes(features, labels, numbers, rule=rule)

    def baseline() -> None:
        found["scikit-learn"] = by_scikit_learn(features, labels, numbers)

    names = rules or list(RULES)
    contestants = {rule: (lambda rule=rule: ours(rule)) for rule in names}
    times = interleaved({**contestants, "scikit-learn": baseline}, rounds)
    theirs = times["scikit-learn"]
    reference = quality(features, found["scikit-learn"], sum(numbers))
    return [
        Row(
            f"clustering {len(labels):,} x {WIDTH} into {sum(numbers):,} subclasses, {rule}",
            "s",
            times[rule].median,
            theirs.median,
            higher_is_better=False,
            peak_mb=times[rule].peak_mb,
            baseline_peak_mb=theirs.peak_mb,
            note=f"{quality(features, found[rule], sum(numbers))}; baseline: scikit-learn's KMeans, {reference}; "
            f"{torch.get_num_threads()} threads, median of {rounds} rounds",
        )
        for rule in names
    ]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", metavar="FILE", help="npz file with the class sizes, its first array")
    parser.add_argument("--delta", type=positive, default=20, help="target for the smallest size of a subclass")
    parser.add_argument("--rules", nargs="+", metavar="NAME", choices=list(RULES), help=", ".join(RULES))
    parser.add_argument("--rounds", type=positive, metavar="N", default=1)
    parser.add_argument("--json", metavar="FILE", help="also write the measurements to this JSON file")
    options = parser.parse_args(arguments)

    counts = None
    if options.counts:
        with np.load(options.counts) as content:
            counts = content[content.files[0]].astype(int).tolist()
    facts = machine()
    rows = measure(counts, options.delta, rules=options.rules, rounds=options.rounds)
    print(table(rows))
    print(footer(rows, facts))
    if options.json:
        write_record(options.json, rows, facts=facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
