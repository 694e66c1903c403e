"""Lloyd's iterations with cosines, for many classes at once."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Assign = Callable[[Tensor, Tensor, Tensor], Tensor]


class Block(NamedTuple):
    """Classes of similar size, padded to one shape: G classes, at most S samples and at most M clusters in each.

    Attributes:
        features: (G, S, D).
        sizes: Samples of each class, (G,).
        numbers: Clusters of each class, (G,).
    """

    features: Tensor
    sizes: Tensor
    numbers: Tensor

    def samples(self) -> Tensor:
        """Return which samples are real, (G, S) bool."""
        return torch.arange(self.features.shape[1], device=self.sizes.device) < self.sizes[:, None]

    def clusters(self, most: int) -> Tensor:
        """Return which of `most` clusters are real, (G, most) bool."""
        return torch.arange(most, device=self.numbers.device) < self.numbers[:, None]


def lloyd(
    block: Block, start: Tensor, *, assign: Assign, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return clusters, centers and iterations of each class, from Lloyd's iterations as in SBCL's code.

    An iteration assigns samples by their cosines with the centers, then moves every center to the plain mean of its
    members. A class stops after the iteration in which (sum_k |shift of center k|)^2 < tolerance. The returned
    assignment is the one before that last move.

    A center without members moves to a sample: the first such center of a class to the sample whose cosine with its
    own center is smallest, the second to the second such sample, and so on (the release takes random samples).

    Args:
        block: The classes.
        start: Positions in the class of the samples that are the first centers, (G, M); entries in padding are ignored.
        assign: (cosines (G, S, M), sizes, numbers) -> clusters (G, S); cosines in padding are -inf.
        max_iterations: Largest number of iterations.
        tolerance: See above.

    Returns:
        Assignment (G, S), undefined in padding; centers (G, M, D); iterations (G,).
    """
    samples, clusters = block.samples(), block.clusters(start.shape[1])
    unit, real = F.normalize(block.features, dim=2), samples[:, :, None] & clusters[:, None, :]
    centers = _rows(block.features, start.clamp(0, block.features.shape[1] - 1))
    active, iterations = torch.ones_like(block.sizes, dtype=torch.bool), torch.zeros_like(block.sizes)
    assignment = torch.zeros_like(samples, dtype=torch.int64)
    for _ in range(max_iterations):
        cosines = (unit @ F.normalize(centers, dim=2).mT).masked_fill(~real, -torch.inf)
        assignment = torch.where(active[:, None], assign(cosines, block.sizes, block.numbers), assignment)
        moved = _centers(block.features, cosines, assignment, samples, clusters)
        shift = ((moved - centers).norm(dim=2) * clusters).sum(1)
        centers = torch.where(active[:, None, None], moved, centers)
        iterations += active
        active = active & (shift**2 >= tolerance)
        if not active.any():
            break
    return assignment, centers, iterations


def _centers(features: Tensor, cosines: Tensor, assignment: Tensor, samples: Tensor, clusters: Tensor) -> Tensor:
    """Return the mean of the members of each cluster, or a sample if it has no members, (G, M, D); see `lloyd`."""
    members = F.one_hot(assignment, clusters.shape[1]).to(features.dtype) * samples[:, :, None]
    count = members.sum(1)
    means = (members.mT @ features) / count.clamp(min=1)[:, :, None]
    empty = (count == 0) & clusters
    if not empty.any():
        return means
    own = cosines.gather(2, assignment[:, :, None])[:, :, 0].masked_fill(~samples, torch.inf)
    worst = own.argsort(dim=1, stable=True)
    number = (empty.cumsum(1) - 1).clamp(min=0)  # number of the empty center among those of its class
    return torch.where(empty[:, :, None], _rows(features, worst.gather(1, number)), means)


def _rows(values: Tensor, positions: Tensor) -> Tensor:
    """Return the rows of (G, S, D) at positions (G, M), (G, M, D)."""
    return values.gather(1, positions[:, :, None].expand(-1, -1, values.shape[2]))
