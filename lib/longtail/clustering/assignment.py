"""Rules that assign samples to centers, for many classes at once.

Each takes cosines (G, S, M), -inf in padding, the samples of each class (G,) and its clusters (G,), and returns the
cluster of each sample, (G, S); entries in padding are undefined.
"""

import torch
from torch import Tensor


def nearest(cosines: Tensor, sizes: Tensor, numbers: Tensor) -> Tensor:
    """Assign each sample to its most similar center: plain k-means."""
    return cosines.argmax(2)


def capped(cosines: Tensor, sizes: Tensor, numbers: Tensor) -> Tensor:
    """Assign the most similar pair of sample and open center first, and close a center that is full.

    The assignment step of SBCL's Algorithm 1. A cluster holds at most ceil(size / number) samples, the smallest cap for
    which all samples of the class can be assigned.
    """
    return best_first(cosines, -(-sizes // numbers)).clamp(min=0)


def balanced(cosines: Tensor, sizes: Tensor, numbers: Tensor) -> Tensor:
    """Assign as balanced k-means in SBCL's code, which the release never calls: sizes differ by at most one.

    The cosines of a center are first divided by their sum over the samples. Then the best pairs are taken first, until
    every cluster holds floor(size / number) samples; after that each cluster gets at most one further sample.

    Difference from the release: the divisor is the absolute value of the sum, because a negative sum would reverse the
    order of the center's samples.
    """
    real = cosines > -torch.inf
    total = cosines.masked_fill(~real, 0.0).sum(1, keepdim=True).abs()
    weighted = cosines / total.clamp(min=torch.finfo(cosines.dtype).eps)
    first = best_first(weighted, sizes // numbers)
    rest = best_first(weighted.masked_fill((first >= 0)[:, :, None], -torch.inf), torch.ones_like(sizes))
    return torch.maximum(first, rest).clamp(min=0)


def best_first(scores: Tensor, caps: Tensor) -> Tensor:
    """Return the greedy assignment: pairs of sample and cluster by descending score, while both are free.

    It is computed without iterating over all pairs. Samples and clusters rank each other by the same scores, so it is
    the unique stable matching between them (Gale and Shapley, 1962), which deferred acceptance finds: every sample
    proposes to its best cluster, every cluster keeps its `cap` best samples and rejects the others, which propose to
    their next best. Of equal scores, the sample or cluster with the lower number comes first.

    Args:
        scores: (G, S, M); -inf: never assigned.
        caps: Largest number of samples of a cluster, at least 1, (G,).

    Returns:
        Clusters, (G, S); -1: all allowed clusters of the sample are full of better ones.
    """
    scores, cap = scores.clone(), caps[:, None]
    while True:
        best, choice = scores.max(2)
        proposes, rank = best > -torch.inf, _rank(best, choice, scores.shape[2])
        rejected = proposes & (rank >= cap)
        if not rejected.any():
            return torch.where(proposes, choice, -1)
        group, sample = rejected.nonzero(as_tuple=True)
        scores[group, sample, choice[group, sample]] = -torch.inf
        group, sample = (proposes & (rank == cap - 1)).nonzero(as_tuple=True)
        least = torch.full_like(scores[:, 0], -torch.inf)  # lowest score in a full cluster, which only increases
        least[group, choice[group, sample]] = best[group, sample]
        scores.masked_fill_(scores < least[:, None], -torch.inf)


def _rank(best: Tensor, choice: Tensor, clusters: int) -> Tensor:
    """Return the rank of each sample among those that propose to the same cluster, from 0, (G, S)."""
    wanted = (choice + torch.arange(len(choice), device=choice.device)[:, None] * clusters).flatten()
    order = best.flatten().argsort(descending=True, stable=True)
    order = order[wanted[order].argsort(stable=True)]  # cluster after cluster, its best samples first
    count = torch.bincount(wanted, minlength=len(choice) * clusters)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - (count.cumsum(0) - count)[wanted[order]]
    return rank.view_as(choice)
