"""Temperature scaling: calibration with a single parameter (Guo et al., ICML 2017, arXiv 1706.04599, sec. 4.2)."""

import math

import torch
from torch import Tensor

LOWEST, HIGHEST = 0.01, 100.0  # range of temperatures
HALVINGS = 60


def fit_temperature(logits: Tensor, labels: Tensor, *, offset: Tensor | None = None) -> float:
    """Return the temperature T with the smallest mean negative log-likelihood of softmax(logits / T + offset).

    The negative log-likelihood is convex in 1 / T, so its minimum is found by bisection of log T: the sign of the
    derivative is that of the mean of E_p[z] - z_y over the samples.

    Args:
        logits: (N, C), N >= 1.
        labels: True classes, (N,).
        offset: Offset that is added after the division, (C,); None: none.

    Returns:
        A value in [`LOWEST`, `HIGHEST`]; `LOWEST` if all predictions are correct, `HIGHEST` for useless logits.
    """
    scores = logits.double()
    added = torch.zeros(scores.shape[1], dtype=torch.float64) if offset is None else offset.double()
    own = scores.gather(1, labels[:, None])[:, 0]

    def too_sharp(temperature: float) -> bool:
        """Return whether a higher temperature has a smaller negative log-likelihood."""
        probabilities = (scores / temperature + added).softmax(dim=1)
        return float(((probabilities * scores).sum(dim=1) - own).mean()) > 0

    low, high = math.log(LOWEST), math.log(HIGHEST)
    if not too_sharp(LOWEST):
        return LOWEST
    if too_sharp(HIGHEST):
        return HIGHEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_sharp(math.exp(middle)) else (low, middle)
    return math.exp((low + high) / 2)
