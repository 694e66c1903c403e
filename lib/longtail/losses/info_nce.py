"""InfoNCE: identify the key of the same image among the keys of other images."""

import torch
from torch import Tensor

from longtail.precision import in_float32, without_autocast


def info_nce(queries: Tensor, keys: Tensor, *, queue: Tensor, temperature: float) -> Tensor:
    """Return InfoNCE, averaged over samples and summed over experts (arXiv 1911.05722, eq. 1; arXiv 2203.15359).

    -log( exp(q.k / T) / (exp(q.k / T) + sum_j exp(q.n_j / T)) ) with the keys n_j in the queue. Computed in float32
    also under autocast: in half precision q.n / T would be off by several hundredths. q, k and n_j have unit length.

    Args:
        queries: (E, B, P).
        keys: Keys of the same images, (E, B, P).
        queue: Keys of other images, (E, K, P).
        temperature: Temperature T of the softmax.
    """
    with without_autocast(queries.device):
        scaled = in_float32(queries) / temperature
        positive = (scaled * keys).sum(2)
        negative = (scaled @ queue.transpose(1, 2)).logsumexp(2)
        return (torch.logaddexp(positive, negative) - positive).mean(1).sum()
