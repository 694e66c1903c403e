"""Optimization: parameter groups, schedules, optimizers, clipping, sharpness-aware minimization."""

from longtail.engine.optim.clipping import GradientClipping
from longtail.engine.optim.groups import parameter_groups
from longtail.engine.optim.optimizers import OPTIMIZERS, build_optimizer, check_optimizer, load_state, set_rate
from longtail.engine.optim.sam import SharpnessAware, check_repeatable, check_sharpness
from longtail.engine.optim.schedules import SCHEDULES, Schedule, build_schedule, learning_rates, step_rate

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "GradientClipping",
    "Schedule",
    "SharpnessAware",
    "build_optimizer",
    "build_schedule",
    "check_optimizer",
    "check_repeatable",
    "check_sharpness",
    "learning_rates",
    "load_state",
    "parameter_groups",
    "set_rate",
    "step_rate",
]
