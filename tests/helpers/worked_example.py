"""Inputs of the worked examples of the losses, given as formulas; the expected values have six digits."""

import math
from typing import Any

import torch
from torch import Tensor

from longtail.config import load_config
from longtail.losses import Loss, build_loss

COUNTS = [100, 40, 20, 10, 5]
TARGETS = torch.tensor([0, 3, 4, 1])
FEATURES = torch.tensor([[1.0, 2.0], [0.5, 0.5], [3.0, 1.0], [0.0, 4.0]])


def logits(expert: int) -> Tensor:
    """Return the logits of an expert, (4, 5)."""
    return torch.tensor([[2 * math.sin(1 + 0.7 * expert + 1.3 * b + 0.9 * c) for c in range(5)] for b in range(4)])


def example_loss(name: str, *overrides: Any) -> Loss:
    """Build a loss for the classes of the examples, in its first epoch."""
    loss = build_loss(load_config(None, ["LOSS.LOSS_TYPE", name, *overrides]), COUNTS)
    loss.set_epoch(1)
    return loss


def example_value(name: str, *overrides: Any) -> float:
    """Return the value of a loss of one head for the examples."""
    teacher = logits(1) if name == "DiVEKLD" else None
    return float(example_loss(name, *overrides)(logits(0), TARGETS, FEATURES, teacher))
