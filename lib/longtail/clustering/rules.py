"""Clustering rules by name."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from longtail.clustering.assignment import balanced, capped, nearest
from longtail.clustering.lloyd import Assign, Block
from longtail.clustering.starts import far_apart, random_samples
from longtail.registry import Registry

TOLERANCE = 1e-3


class Rule(NamedTuple):
    """How one class is clustered.

    Attributes:
        start: Chooses the first centers, from uniform numbers (G, S).
        assign: Assigns samples to centers.
        max_iterations: Largest number of Lloyd's iterations.
    """

    start: Callable[[Block, Tensor], Tensor]
    assign: Assign
    max_iterations: int


RULES: Registry[Rule] = Registry("clustering rule")
RULES.register("capped")(Rule(far_apart, capped, 50))
RULES.register("kmeans")(Rule(random_samples, nearest, 35))
RULES.register("balanced")(Rule(far_apart, balanced, 50))
