"""Subclasses of all classes: how many, and which sample is in which."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from longtail.clustering.lloyd import Block, lloyd
from longtail.clustering.rules import RULES, TOLERANCE, Rule

SIMILAR = 1.25  # classes whose sizes differ by at most this factor are clustered together
ENTRIES = 2**23  # most entries of the features, or of the cosines, of such a block: 32 MiB in float32


def subclass_numbers(class_counts: Sequence[int], delta: int) -> list[int]:
    """Return the number of subclasses of each class, floor(n_c / max(smallest n, delta)) and at least 1.

    SBCL's code; in its paper max(smallest n, delta) is M, the largest size of a subclass.

    Args:
        class_counts: Training images of each class, (C,).
        delta: Target for the smallest size of a subclass.
    """
    size = max(min(class_counts), delta)
    return [max(1, count // size) for count in class_counts]


@torch.no_grad()
def cluster_classes(
    features: Tensor, labels: Tensor, numbers: Sequence[int], *, rule: str = "capped", seed: int = 0
) -> Tensor:
    """Return the subclass of each sample, from a clustering inside each class, (N,) int64.

    Subclasses are numbered class after class: those of class c start at the sum of `numbers` before c. The samples may
    be in any order. The default is the size-capped spherical k-means of SBCL's Algorithm 1, with k-means++ starts:
    every subclass holds at most ceil(n_c / m_c) samples. See `longtail.clustering.lloyd.lloyd` for subclasses that lose
    all their samples during the iterations.

    Args:
        features: Features of all samples, (N, D).
        labels: Class ids, (N,).
        numbers: Number of subclasses of each class, m_c, (C,).
        rule: capped | kmeans (random starts and any sizes, as in SBCL's code) | balanced (as in unused code of the
            release, but with k-means++ starts).
        seed: Seed of the starts; the same seed gives the same subclasses.

    Raises:
        UserError: There is no such rule.
        ValueError: A class has fewer samples than subclasses.
    """
    chosen = RULES.get(rule)
    sizes = torch.bincount(labels, minlength=len(numbers)).tolist()
    for label, (size, number) in enumerate(zip(sizes, numbers, strict=True)):
        if number > max(size, 1):
            raise ValueError(f"class {label} has {size} samples for {number} subclasses")
    draws = torch.rand(len(labels), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    draws, by_class = draws.to(features.device), labels.argsort(stable=True)
    local = torch.zeros_like(labels, dtype=torch.int64)
    for classes in _blocks(sizes, numbers, features.shape[1]):
        positions = _positions(sizes, classes).to(features.device)
        members = by_class[positions]
        block = Block(
            features[members].float(),
            torch.tensor([sizes[label] for label in classes], device=features.device),
            torch.tensor([numbers[label] for label in classes], device=features.device),
        )
        found = _clusters(block, draws[positions], chosen)
        local[members[block.samples()]] = found[block.samples()]
    offsets = torch.tensor([0, *numbers], device=labels.device).cumsum(0)
    return offsets[labels] + local


def _clusters(block: Block, draws: Tensor, rule: Rule) -> Tensor:
    start = rule.start(block, draws)
    return lloyd(block, start, assign=rule.assign, max_iterations=rule.max_iterations, tolerance=TOLERANCE)[0]


def _blocks(sizes: Sequence[int], numbers: Sequence[int], width: int) -> Iterator[list[int]]:
    """Yield the classes that are split, the largest first, in blocks of similar sizes."""
    most = ENTRIES // max(width, *numbers)  # samples of a block, padding included
    block: list[int] = []
    for label in sorted((label for label, number in enumerate(numbers) if number > 1), key=lambda label: -sizes[label]):
        largest = sizes[block[0]] if block else 0
        if block and (largest > SIMILAR * sizes[label] or largest * (len(block) + 1) > most):
            yield block
            block = []
        block.append(label)
    if block:
        yield block


def _positions(sizes: Sequence[int], classes: Sequence[int]) -> Tensor:
    """Return the positions of the samples of some classes in the order by class, padded, (G, S)."""
    first = torch.tensor([0, *sizes]).cumsum(0)[torch.tensor(classes)]
    position = first[:, None] + torch.arange(max(sizes[label] for label in classes))
    return position.clamp(max=sum(sizes) - 1)
