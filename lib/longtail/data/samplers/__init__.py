"""Samplers: which images an epoch contains, and in which order."""

from longtail.data.samplers.base import SAMPLERS, Sampler, build_sampler
from longtail.data.samplers.check import check_sampling
from longtail.data.samplers.class_aware import ClassAware
from longtail.data.samplers.class_weighted import WEIGHTINGS, ClassWeighted
from longtail.data.samplers.deferred import Deferred
from longtail.data.samplers.effective import EffectiveNumber
from longtail.data.samplers.instance_balanced import InstanceBalanced
from longtail.data.samplers.paired import Paired
from longtail.data.samplers.power import PowerWeighted
from longtail.data.samplers.progressive import Progressive
from longtail.data.samplers.repeat_factor import RepeatFactor

__all__ = [
    "SAMPLERS",
    "WEIGHTINGS",
    "ClassAware",
    "ClassWeighted",
    "Deferred",
    "EffectiveNumber",
    "InstanceBalanced",
    "Paired",
    "PowerWeighted",
    "Progressive",
    "RepeatFactor",
    "Sampler",
    "build_sampler",
    "check_sampling",
]
