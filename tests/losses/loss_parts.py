"""What the tests of the losses of one expert share: a batch, and losses by name."""

import dataclasses

import torch

from longtail.config import load_config
from longtail.losses import HardClassSettings, build_loss

COUNTS = [50, 30, 12, 7, 3]
C, B = len(COUNTS), 6
RANDOM = torch.Generator().manual_seed(0)
LOGITS, TEACHER = (3 * torch.randn(B, C, generator=RANDOM, dtype=torch.float64) for _ in range(2))
TARGETS = torch.tensor([0, 4, 2, 1, 3, 4])
FEATURES = torch.randn(B, 7, generator=RANDOM, dtype=torch.float64)
SEQL = ["LOSS.SEQL.GAMMA", 1.0, "LOSS.SEQL.LAMBDA", 0.1]  # no chance in it; the two smallest classes are tail
NAMES = [
    "CDT",
    "ClassBalanceCE",
    "ClassBalanceFocal",
    "CostSensitiveCE",
    "CrossEntropyLabelAwareSmooth",
    "CrossEntropyLabelSmooth",
    "DiVEKLD",
    "FocalLoss",
    "InfluenceBalancedLoss",
    "LDAMLoss",
    "LogitAdjustment",
    "SEQL",
]


def build(name, *overrides, counts=COUNTS):
    return build_loss(load_config(None, ["LOSS.LOSS_TYPE", name, *overrides]), counts)


def value(name, *overrides, counts=COUNTS, logits=LOGITS, targets=TARGETS, features=FEATURES, teacher=TEACHER):
    loss = build(name, *overrides, counts=counts)
    return loss(logits, targets, features, teacher if name == "DiVEKLD" else None)


def nested_loss(kind, counts, number, **settings):
    """Build NestedLoss or NestedPlusLoss; settings are those of HardClassSettings and of the loss."""
    names = [field.name for field in dataclasses.fields(HardClassSettings)]
    hard = {name: settings.pop(name) for name in names if name in settings}
    return kind(counts, HardClassSettings(number, **hard), **settings)
