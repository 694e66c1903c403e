"""k-means of one set of samples from given starts, by three rules."""

from collections.abc import Sequence

import torch
from torch import Tensor

from longtail.clustering.lloyd import Block, lloyd
from longtail.clustering.rules import RULES, TOLERANCE


def kmeans(
    features: Tensor, start: Sequence[int] | Tensor, max_iterations: int = 35, tolerance: float = TOLERANCE
) -> tuple[Tensor, Tensor, int]:
    """Return the k-means of SBCL's code: cosines to assign, plain means as centers, clusters of any size.

    See `longtail.clustering.lloyd.lloyd` for the stopping rule and for centers without members.

    Args:
        features: Samples, (N, D).
        start: Positions of the samples that are the first centers, (m,).
        max_iterations: Largest number of iterations.
        tolerance: The iterations stop when the square of the summed shifts of the centers is below it.

    Returns:
        Assignment (N,) int64, centers (m, D), iterations.
    """
    return _cluster(features, start, "kmeans", max_iterations, tolerance)


def balanced_kmeans(
    features: Tensor, start: Sequence[int] | Tensor, max_iterations: int = 50, tolerance: float = TOLERANCE
) -> tuple[Tensor, Tensor, int]:
    """Return the balanced k-means of SBCL's code, which the release never calls: sizes differ by at most one.

    See `longtail.clustering.assignment.balanced`; arguments and results as in `kmeans`.
    """
    return _cluster(features, start, "balanced", max_iterations, tolerance)


def capped_kmeans(
    features: Tensor, start: Sequence[int] | Tensor, max_iterations: int = 50, tolerance: float = TOLERANCE
) -> tuple[Tensor, Tensor, int]:
    """Return the size-capped k-means of SBCL's Algorithm 1: a cluster holds at most ceil(N / m) samples.

    See `longtail.clustering.assignment.capped`; arguments and results as in `kmeans`.
    """
    return _cluster(features, start, "capped", max_iterations, tolerance)


@torch.no_grad()
def _cluster(
    features: Tensor, start: Sequence[int] | Tensor, rule: str, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor, int]:
    first = torch.as_tensor(start, device=features.device).long()
    size, number = (torch.tensor([n], device=features.device) for n in (len(features), len(first)))
    assignment, centers, iterations = lloyd(
        Block(features[None], size, number),
        first[None],
        assign=RULES.get(rule).assign,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    return assignment[0], centers[0], int(iterations[0])
