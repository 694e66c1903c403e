"""First centers of k-means, for many classes at once."""

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.clustering.lloyd import Block


def random_samples(block: Block, draws: Tensor) -> Tensor:
    """Return positions of distinct random samples of each class, (G, M), the starts of SBCL's code.

    Args:
        block: The classes.
        draws: Uniform numbers in [0, 1), (G, S).
    """
    most = int(block.numbers.max())
    return draws.masked_fill(~block.samples(), torch.inf).argsort(dim=1, stable=True)[:, :most]


def far_apart(block: Block, draws: Tensor) -> Tensor:
    """Return positions of samples that are far apart, (G, M), by k-means++ (Arthur and Vassilvitskii, 2007).

    The first is uniform among the samples; each further one has a probability proportional to 1 - the cosine with its
    most similar predecessor: half the squared distance of unit vectors.

    Args:
        block: The classes.
        draws: Uniform numbers in [0, 1), (G, S); the first M of a class are used.
    """
    unit = F.normalize(block.features, dim=2)
    group, last = torch.arange(len(unit), device=unit.device), block.sizes - 1
    weight = distance = block.samples().double()
    picks = []
    for draw in draws.T[: int(block.numbers.max())].double():
        cumulative = weight.cumsum(1)
        target = draw * cumulative[:, -1]
        pick = torch.searchsorted(cumulative, target[:, None], right=True)[:, 0].minimum(last)
        picks.append(pick)
        to_pick = (1 - (unit @ unit[group, pick][:, :, None])[:, :, 0]).clamp(min=0).double()
        distance = to_pick if len(picks) == 1 else distance.minimum(to_pick)
        weight = distance * block.samples()
    return torch.stack(picks, dim=1)
