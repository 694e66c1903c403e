"""Comparison of batches."""

from collections.abc import Sequence

import torch

from longtail.data import Batch


def same(first: Sequence[Batch], second: Sequence[Batch]) -> bool:
    """Return whether two epochs have the same images, labels and indices."""
    return len(first) == len(second) and all(
        torch.equal(a, b)
        for batch, other in zip(first, second, strict=True)
        for a, b in zip(batch[:3], other[:3], strict=True)
    )
