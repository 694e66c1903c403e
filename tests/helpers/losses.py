"""A small batch, losses by name, and reference computations."""

import dataclasses
import math
from typing import Any, TypeVar

import torch
from torch import Tensor

from longtail.config import load_config
from longtail.losses import LOSSES, HardClassSettings, Loss, build_loss
from longtail.losses.nested import HardClassLoss

COUNTS = [50, 30, 12, 7, 3]
C, B, D = len(COUNTS), 6, 7
RANDOM = torch.Generator().manual_seed(0)
LOGITS, TEACHER = (3 * torch.randn(B, C, generator=RANDOM, dtype=torch.float64) for _ in range(2))
TARGETS = torch.tensor([0, 4, 2, 1, 3, 4])
FEATURES = torch.randn(B, D, generator=RANDOM, dtype=torch.float64)
SEQL = ["LOSS.SEQL.GAMMA", 1.0, "LOSS.SEQL.LAMBDA", 0.1]  # nothing is random; the two smallest classes are masked
COSINE_HEAD = ["CLASSIFIER.TYPE", "cos", "CLASSIFIER.BIAS", False, "CLASSIFIER.COS_SCALE", 32.0]
# Loss -> settings without which it is refused.
NEEDED = {"DifficultyMargin": COSINE_HEAD, "NIL_NBOD_margin": COSINE_HEAD}
NestedT = TypeVar("NestedT", bound=HardClassLoss)


def build(name: str, *overrides: Any, counts: list[int] = COUNTS) -> Loss:
    """Build a loss by its name, with the head that it needs."""
    return build_loss(load_config(None, ["LOSS.LOSS_TYPE", name, *NEEDED.get(name, []), *overrides]), counts)


SINGLE_HEAD = [name for name in LOSSES if not build(name).nested]


def value(
    name: str,
    *overrides: Any,
    counts: list[int] = COUNTS,
    logits: Tensor = LOGITS,
    targets: Tensor = TARGETS,
    features: Tensor = FEATURES,
    teacher: Tensor = TEACHER,
) -> Tensor:
    """Return the value of a loss of one head for the batch."""
    loss = build(name, *overrides, counts=counts)
    result: Tensor = loss(logits, targets, features, teacher if name == "DiVEKLD" else None)
    return result


def nested_loss(kind: type[NestedT], counts: list[int], number: int, **settings: Any) -> NestedT:
    """Build NestedLoss or NestedPlusLoss; settings are those of HardClassSettings and of the loss."""
    names = [field.name for field in dataclasses.fields(HardClassSettings)]
    hard = {name: settings.pop(name) for name in names if name in settings}
    return kind(counts, HardClassSettings(number, **hard), **settings)


def grad(tensor: Tensor) -> Tensor:
    """Return the gradient of a tensor that has one."""
    assert tensor.grad is not None
    return tensor.grad


# One sample at a time, in Python floats.


def probabilities(row: list[float]) -> list[float]:
    """Return the softmax of a row of logits."""
    exponentials = [math.exp(z) for z in row]
    return [e / sum(exponentials) for e in exponentials]


def nll(row: list[float], y: int) -> float:
    """Return -log softmax(row)_y."""
    return -math.log(probabilities(row)[y])


def rows_of(tensor: Tensor) -> list[list[float]]:
    """Return a matrix as lists of numbers."""
    rows: list[list[float]] = tensor.tolist()
    return rows
