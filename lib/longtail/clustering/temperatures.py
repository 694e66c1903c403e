"""Temperature of each class in the class term of SBCL's loss."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.registry import Registry

ALPHA = 10.0  # as released: log(n_c) alone is 0 for a class of one image
CLIP = (0.2, 0.8)  # quantiles over the classes, as released

TemperatureRule = Callable[[Tensor, Tensor, float], Tensor]
TEMPERATURE_RULES: Registry[TemperatureRule] = Registry("class temperature rule")


@torch.no_grad()
def class_temperatures(
    features: Tensor, labels: Tensor, subclass_numbers: Sequence[int], temperature: float, rule: str = "released"
) -> Tensor:
    """Return the temperature of each class, larger where its samples are spread more widely, (C,) float32.

    The spread of a class is the mean distance of its samples to their mean, divided by log(n_c + 10). With T the given
    temperature and r_c the spread relative to the mean spread of the classes, a class has

    * released: T r_c, where spreads are first clipped to their 20th and 80th percentile; T for a class that is not
      split;
    * paper: T exp(r_c), larger than T (Hou et al., arXiv 2306.15925);
    * constant: T.

    A class without samples has the temperature T.

    Args:
        features: Of all samples, unit length, (N, D).
        labels: Class ids, (N,).
        subclass_numbers: Subclasses of each class, (C,).
        temperature: T.
        rule: released | paper | constant.

    Raises:
        UserError: There is no such rule.
    """
    numbers = torch.as_tensor(subclass_numbers, device=features.device)
    values = TEMPERATURE_RULES.get(rule)(_spread(features.float(), labels, len(numbers)), numbers, temperature)
    return values.nan_to_num(temperature)


@TEMPERATURE_RULES.register("released")
def _released(spread: Tensor, numbers: Tensor, temperature: float) -> Tensor:
    low, high = (torch.nanquantile(spread, quantile) for quantile in CLIP)
    spread = spread.clamp(low, high)
    return torch.where(numbers > 1, temperature * spread / spread.nanmean(), temperature)


@TEMPERATURE_RULES.register("paper")
def _paper(spread: Tensor, numbers: Tensor, temperature: float) -> Tensor:
    return temperature * (spread / spread.nanmean()).exp()


@TEMPERATURE_RULES.register("constant")
def _constant(spread: Tensor, numbers: Tensor, temperature: float) -> Tensor:
    return torch.full_like(spread, temperature)


def _spread(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the spread of each class, NaN if it has no samples, (C,)."""
    counts = torch.bincount(labels, minlength=classes)
    means = features.new_zeros(classes, features.shape[1]).index_add_(0, labels, features) / counts[:, None]
    distances = F.pairwise_distance(features, means[labels])  # adds 1e-6 to each difference, as released
    return distances.new_zeros(classes).index_add_(0, labels, distances) / counts / (counts + ALPHA).log()
