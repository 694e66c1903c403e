"""Losses: one small file per family, each entering itself into the registry."""

from longtail.losses.balanced_softmax import BalancedSoftmax
from longtail.losses.base import LOSSES, Loss, build_loss
from longtail.losses.cross_entropy import CrossEntropy
from longtail.losses.nested import NestedLoss
from longtail.losses.nested_plus import NestedPlusLoss

__all__ = ["LOSSES", "BalancedSoftmax", "CrossEntropy", "Loss", "NestedLoss", "NestedPlusLoss", "build_loss"]
