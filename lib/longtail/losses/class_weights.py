"""Class weights: how much the samples of each class count in a loss."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.registry import nearest

NAMES = "LOSS.CLASS_WEIGHTS.NAMES"


def inverse_frequency(class_counts: Sequence[int], gamma: float = 1.0) -> Tensor:
    """Return (n_min / n_c)^gamma for each class, (C,) float64.

    Args:
        class_counts: Training images per class n_c, (C,).
        gamma: 1 balances the classes, 0.5 is the "square root" variant, 0 is no weighting.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    return (counts.min() / counts) ** gamma


def class_balanced_weights(class_counts: Sequence[int], beta: float) -> Tensor:
    """Return the inverse effective number of samples of each class, scaled to sum C, (C,) float64.

    The effective number is (1 - beta^n_c) / (1 - beta) (Cui et al., arXiv 1901.05555, proposition 1), and n_c in the
    limit beta = 1.

    Args:
        class_counts: Training images per class n_c, (C,).
        beta: From 0 (no weighting) to 1 (inverse frequency).
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    effective = counts if beta == 1 else (1 - beta**counts) / (1 - beta)
    return len(class_counts) / effective / (1 / effective).sum()


def configured_weights(cfg: CfgNode, class_counts: Sequence[int], class_names: Sequence[str] = ()) -> Tensor | None:
    """Return the weights of LOSS.CLASS_WEIGHTS with mean 1 over the classes, (C,) float64; None if there are none.

    Args:
        cfg: Config.
        class_counts: Training images per class, (C,).
        class_names: Names of the classes, (C,); empty: their numbers from 0.

    Raises:
        UserError: An entry of NAMES is not name=weight, or its class does not exist.
    """
    keys = cfg.LOSS.CLASS_WEIGHTS
    if keys.TYPE == "none" and not keys.NAMES:
        return None
    rules = {
        "none": lambda: torch.ones(len(class_counts), dtype=torch.float64),
        "inverse": lambda: inverse_frequency(class_counts, keys.POWER),
        "effective": lambda: class_balanced_weights(class_counts, keys.BETA),
    }
    names = list(class_names) or [str(label) for label in range(len(class_counts))]
    weights = rules[keys.TYPE]() * named_factors(keys.NAMES, names)
    return weights / weights.mean()


def named_factors(items: Sequence[str], names: Sequence[str]) -> Tensor:
    """Return the factor of each class from `name=factor` items, 1 for a class that is not named, (C,) float64.

    Args:
        items: Items of LOSS.CLASS_WEIGHTS.NAMES.
        names: Names of the classes, (C,).

    Raises:
        UserError: See `configured_weights`.
    """
    factors = torch.ones(len(names), dtype=torch.float64)
    weighted: set[str] = set()
    for item in items:
        name, _, text = (part.strip() for part in item.rpartition("="))
        factor = _number(text)
        if not name or not 0 < factor < math.inf:
            raise UserError(f"{NAMES} has {item!r}; it must be name=weight, with a weight above 0")
        if name not in names:
            raise UserError(f"{NAMES} names {name!r}, which is not a class{nearest(name, names)}")
        if name in weighted or list(names).count(name) > 1:
            what = " twice" if name in weighted else f", which is the name of {list(names).count(name)} classes"
            raise UserError(f"{NAMES} names {name!r}{what}; it must be one weight of one class")
        weighted.add(name)
        factors[list(names).index(name)] = factor
    return factors


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
