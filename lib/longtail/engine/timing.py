"""Duration of the steps of a training."""

import itertools
import time
from typing import NamedTuple

import torch

from longtail.data.loaders.memory import CHUNK
from longtail.engine.finite_guard import Where
from longtail.engine.trainer import Trainer

WARM_UP = 4  # steps that are not measured: allocation, tuning, first batches of the workers, recording
LEAST = 5  # smallest number of measured steps
LONGEST = 20.0  # seconds after which measuring stops, once that number is reached


class StepTimes(NamedTuple):
    """Durations in seconds.

    Attributes:
        training_step: Mean duration of a training step, including loading.
        validation_batch: Duration of a validation batch.
        steps: Number of steps that were measured.
    """

    training_step: float
    validation_batch: float
    steps: int


def time_steps(trainer: Trainer) -> StepTimes:
    """Train a few steps and measure them; the trainer cannot be used afterwards.

    After four steps of warm-up, the steps that one call of the augmentation covers are measured, at least five.
    """
    training = trainer.training
    batch_size = training.loaders.train.batch_size
    wanted = max(LEAST, CHUNK // batch_size)
    trainer.set_up_epoch()
    epochs = (training.loaders.train.epoch(epoch) for epoch in itertools.count(1))
    started, steps = 0.0, -WARM_UP
    for batch in itertools.chain.from_iterable(epochs):
        if steps == 0:
            started = _now(trainer)
        trainer.step(batch.to(training.place.device), Where(1, steps + WARM_UP + 1, batch.all_indices))
        training.method.on_step_end()
        steps += 1
        if steps >= wanted or (steps >= LEAST and _now(trainer) - started > LONGEST):
            break
    return StepTimes((_now(trainer) - started) / steps, _validation_batch(trainer), steps)


def _validation_batch(trainer: Trainer) -> float:
    """Return the duration of the second pass over a validation batch."""
    training, seconds = trainer.training, 0.0
    network = training.network.eval()
    for _ in range(2):
        started = _now(trainer)
        batch = training.loaders.valid.peek(training.loaders.valid.batch_size).to(training.place.device)
        with torch.no_grad(), training.place.autocast():
            network(training.loaders.normalize(batch.images)[0])
        seconds = _now(trainer) - started
    return seconds


def _now(trainer: Trainer) -> float:
    """Return the time at which all work launched on the device is done."""
    device = trainer.training.place.device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
