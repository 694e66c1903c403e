"""Learning-rate schedules: functions of epoch and step."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from yacs.config import CfgNode

from longtail.registry import Registry

Rate = Callable[[float], float]  # position in epochs -> learning rate


@dataclass(frozen=True)
class Schedule:
    """Learning rate of a step.

    Attributes:
        rate: Position in epochs -> learning rate.
        offset: Position of the first step of epoch 1.
        per_step: Whether the rate changes from step to step inside an epoch.
    """

    rate: Rate
    offset: int = 1
    per_step: bool = False

    def __call__(self, epoch: int, step: int = 0, steps: int = 1) -> float:
        """Return the learning rate of a step.

        Args:
            epoch: Epoch, from 1.
            step: Step of the epoch, from 0.
            steps: Steps per epoch.
        """
        inside = step / steps if self.per_step else 0.0
        return self.rate(epoch - 1 + self.offset + inside)


SCHEDULES: Registry[Callable[[CfgNode], Schedule]] = Registry("learning-rate schedule")


def build_schedule(cfg: CfgNode) -> Schedule:
    """Build the schedule of TRAIN.LR_SCHEDULER.TYPE.

    Raises:
        UserError: There is no such schedule.
    """
    return SCHEDULES.get(cfg.TRAIN.LR_SCHEDULER.TYPE)(cfg)


def learning_rates(cfg: CfgNode) -> list[float]:
    """Return the learning rates of epochs 1 to MAX_EPOCH; for per-step schedules, of the first step of each epoch."""
    schedule = build_schedule(cfg)
    return [schedule(epoch) for epoch in range(1, cfg.TRAIN.MAX_EPOCH + 1)]


def step_rate(cfg: CfgNode, epoch: int, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of one step.

    Args:
        cfg: Config.
        epoch: Epoch, from 1.
        step: Step of the epoch, from 0.
        steps_per_epoch: Steps per epoch.
    """
    return build_schedule(cfg)(epoch, step, steps_per_epoch)


def _multistep(cfg: CfgNode) -> Rate:
    keys, base = cfg.TRAIN.LR_SCHEDULER, cfg.TRAIN.OPTIMIZER.BASE_LR
    return lambda epoch: base * keys.LR_FACTOR ** sum(step <= epoch for step in keys.LR_STEP)


def _cosine_end(cfg: CfgNode) -> int:
    return int(cfg.TRAIN.LR_SCHEDULER.COSINE_DECAY_END or cfg.TRAIN.MAX_EPOCH)


@SCHEDULES.register("multistep")
def multistep(cfg: CfgNode) -> Schedule:
    """Base rate times LR_FACTOR^k, where k is the number of milestones LR_STEP that are <= the epoch."""
    return Schedule(_multistep(cfg), cfg.TRAIN.LR_SCHEDULER.EPOCH_OFFSET)


@SCHEDULES.register("warmup")
def warmup(cfg: CfgNode) -> Schedule:
    """Multistep times a factor that increases linearly from WARM_FACTOR at epoch 0 to 1 at WARM_EPOCH."""
    keys, rate = cfg.TRAIN.LR_SCHEDULER, _multistep(cfg)

    def warmed(epoch: float) -> float:
        done = min(epoch / keys.WARM_EPOCH, 1) if keys.WARM_EPOCH else 1
        return rate(epoch) * ((1 - done) * keys.WARM_FACTOR + done)

    return Schedule(warmed, keys.EPOCH_OFFSET)


def _cosine(cfg: CfgNode) -> Rate:
    keys, base, end = cfg.TRAIN.LR_SCHEDULER, cfg.TRAIN.OPTIMIZER.BASE_LR, _cosine_end(cfg)
    return lambda epoch: keys.MIN_LR + (base - keys.MIN_LR) * (1 + math.cos(math.pi * min(epoch / end, 1))) / 2


@SCHEDULES.register("cosine")
def cosine(cfg: CfgNode) -> Schedule:
    """Cosine from the base rate to MIN_LR at COSINE_DECAY_END (or MAX_EPOCH), then constant (the release rises)."""
    return Schedule(_cosine(cfg), cfg.TRAIN.LR_SCHEDULER.EPOCH_OFFSET)


@SCHEDULES.register("ramp_cosine")
def ramp_cosine(cfg: CfgNode) -> Schedule:
    """Cosine; the first WARM_EPOCH epochs are linear per step, from WARM_FACTOR times the base rate to the cosine.

    With EPOCH_OFFSET 1 these are the rates of SBCL's release in its epochs 1, 2, ...; its epoch 0, in which the line is
    extrapolated to negative rates, is omitted. The line of the release ends at a rate that is larger by a factor of
    1 + 2e-7.
    """
    keys, rate = cfg.TRAIN.LR_SCHEDULER, _cosine(cfg)
    low, high = keys.WARM_FACTOR * cfg.TRAIN.OPTIMIZER.BASE_LR, rate(keys.WARM_EPOCH)

    def ramped(epoch: float) -> float:
        done = epoch - keys.EPOCH_OFFSET
        return rate(math.floor(epoch)) if done >= keys.WARM_EPOCH else low + (high - low) * done / keys.WARM_EPOCH

    return Schedule(ramped, keys.EPOCH_OFFSET, per_step=True)


@SCHEDULES.register("warmup_cosine")
def warmup_cosine(cfg: CfgNode) -> Schedule:
    """Linear from 0 to the base rate at WARM_EPOCH, then cosine to MIN_LR at COSINE_DECAY_END (or MAX_EPOCH).

    With EPOCH_OFFSET 1, as in CADEL's release, training starts at 1 / WARM_EPOCH of the base rate, and the last epoch
    is after the end of the cosine, where the rate increases slightly. With PER_STEP False the rate of the first step is
    used for the whole epoch.
    """
    keys, base, end = cfg.TRAIN.LR_SCHEDULER, cfg.TRAIN.OPTIMIZER.BASE_LR, _cosine_end(cfg)
    warm = keys.WARM_EPOCH

    def rate(epoch: float) -> float:
        if epoch < warm:
            return base * epoch / warm
        done = (min(epoch, end + keys.EPOCH_OFFSET) - warm) / max(end - warm, 1)
        return keys.MIN_LR + (base - keys.MIN_LR) * (1 + math.cos(math.pi * done)) / 2

    return Schedule(rate, keys.EPOCH_OFFSET, per_step=keys.PER_STEP)
