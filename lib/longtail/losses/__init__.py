"""Losses: one file per family; each registers itself."""

from longtail.losses.base import LOSSES, Loss, Prediction, build_loss, total
from longtail.losses.cascade import CascadeLoss
from longtail.losses.cdt import CDT
from longtail.losses.class_balanced import ClassBalanced, ClassBalancedFocal
from longtail.losses.cost_sensitive import CostSensitive
from longtail.losses.cross_entropy import CrossEntropy, WeightedCrossEntropy
from longtail.losses.difficulty_margin import DifficultyMargin
from longtail.losses.dive import DiVE
from longtail.losses.equalization import SoftmaxEqualization
from longtail.losses.focal import Focal
from longtail.losses.influence_balanced import InfluenceBalanced
from longtail.losses.label_smoothing import LabelAwareSmoothing, LabelSmoothing
from longtail.losses.ldam import LDAM
from longtail.losses.nested import HardClassSettings, NestedLoss
from longtail.losses.nested_margin import NestedMarginLoss
from longtail.losses.nested_plus import NestedPlusLoss
from longtail.losses.prior_adjustment import BalancedSoftmax, LogitAdjustment
from longtail.losses.vector_scaling import VectorScaling

__all__ = [
    "CDT",
    "LDAM",
    "LOSSES",
    "BalancedSoftmax",
    "CascadeLoss",
    "ClassBalanced",
    "ClassBalancedFocal",
    "CostSensitive",
    "CrossEntropy",
    "DiVE",
    "DifficultyMargin",
    "Focal",
    "HardClassSettings",
    "InfluenceBalanced",
    "LabelAwareSmoothing",
    "LabelSmoothing",
    "LogitAdjustment",
    "Loss",
    "NestedLoss",
    "NestedMarginLoss",
    "NestedPlusLoss",
    "Prediction",
    "SoftmaxEqualization",
    "VectorScaling",
    "WeightedCrossEntropy",
    "build_loss",
    "total",
]
