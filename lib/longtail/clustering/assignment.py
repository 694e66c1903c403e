"""Rules that assign samples to centers, for many classes at once.

Each takes cosines (G, S, M), -inf in padding, the samples of each class (G,) and its clusters (G,), and returns the
cluster of each sample, (G, S); entries in padding have no meaning.
"""

import torch
from torch import Tensor


def nearest(cosines: Tensor, sizes: Tensor, numbers: Tensor) -> Tensor:
    """Assign each sample to its most similar center: plain k-means."""
    return cosines.argmax(2)


def capped(cosines: Tensor, sizes: Tensor, numbers: Tensor) -> Tensor:
    """Assign the most similar pair of sample and open center first, and close a center that is full.

    The assignment step of SBCL's Algorithm 1. A cluster holds at most ceil(size / number) samples, the smallest cap at
    which all samples of the class find room.
    """
    return best_first(cosines, -(-sizes // numbers)).clamp(min=0)


def balanced(cosines: Tensor, sizes: Tensor, numbers: Tensor) -> Tensor:
    """Assign as the unreachable balanced k-means of SBCL's code: sizes of a class differ by at most one.

    The cosines of a center are first divided by their sum over the samples. Then the best pairs are taken first: until
    every cluster holds floor(size / number) samples, then at most one further sample for each.

    A negative sum would turn the order of a center's samples round, as it does in the release. Here the absolute value
    of the sum divides.
    """
    real = cosines > -torch.inf
    total = cosines.masked_fill(~real, 0.0).sum(1, keepdim=True).abs()
    weighted = cosines / total.clamp(min=torch.finfo(cosines.dtype).tiny)
    first = best_first(weighted, sizes // numbers)
    rest = best_first(weighted.masked_fill((first >= 0)[:, :, None], -torch.inf), torch.ones_like(sizes))
    return torch.maximum(first, rest).clamp(min=0)


def best_first(scores: Tensor, caps: Tensor) -> Tensor:
    """Return the assignment that takes pairs of sample and cluster by falling score while both are free.

    It is found without sorting all pairs. Samples and clusters rank each other by the same scores, so it is the one
    stable matching between them (Gale and Shapley, 1962), which deferred acceptance finds: every sample asks for its
    best cluster, every cluster keeps its `cap` best and turns the others away, who ask for their next best.
    Equal scores: the sample, or the cluster, with the lower number comes first.

    Args:
        scores: (G, S, M); -inf: never assigned.
        caps: samples that a cluster holds at most, at least 1, (G,).

    Returns:
        clusters, (G, S); -1: every cluster that the sample may have is full of better ones.
    """
    groups, samples, clusters = scores.shape
    scores = scores.clone()
    group = torch.arange(groups, device=scores.device)[:, None]
    while True:
        best, choice = scores.max(2)
        wanted = torch.where(best > -torch.inf, group * clusters + choice, groups * clusters).flatten()
        order = best.flatten().argsort(descending=True, stable=True)
        order = order[wanted[order].argsort(stable=True)]  # cluster after cluster, its best samples first
        count = torch.bincount(wanted, minlength=groups * clusters + 1)
        place = torch.arange(len(order), device=scores.device) - (count.cumsum(0) - count)[wanted[order]]
        refused = order[(place >= caps.repeat_interleave(samples)[order]) & (wanted[order] < groups * clusters)]
        if not len(refused):
            return torch.where(best > -torch.inf, choice, -1)
        scores.view(-1, clusters)[refused, choice.flatten()[refused]] = -torch.inf
