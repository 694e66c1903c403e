"""Everything that one training consists of, built before it starts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from longtail.data import Loaders
from longtail.distributed import Place
from longtail.engine.cuda_graph import Recorder
from longtail.engine.ema import WeightAverage
from longtail.engine.inference import TrainingSet
from longtail.engine.optim import Schedule, SharpnessAware
from longtail.evaluation import Evaluator
from longtail.methods import Method
from longtail.runs.results import RunFacts


@dataclass(frozen=True)
class Plan:
    """The schedule of a training; epochs are counted from 1.

    Attributes:
        epochs: Number of epochs.
        evaluate_every: Evaluate every this many epochs, and after the last one; -1: after the last one only.
        save_every: Keep a checkpoint every this many epochs; -1: never.
        report_every: Report progress every this many batches.
        checkpoint_seconds: Write last.pth inside an epoch if the newest one is older than this.
        frozen_statistics: Keep the network in evaluation mode while training.
        clip_norm: Largest norm of the gradients; 0: no clipping.
        select_by: Metric that decides which epoch is the best, see `longtail.runs.results`.
        must_record: A step that cannot be recorded as a CUDA graph ends the run; otherwise it is not recorded.
    """

    epochs: int
    evaluate_every: int = 5
    save_every: int = 5
    report_every: int = 20
    checkpoint_seconds: float = 600.0
    frozen_statistics: bool = False
    clip_norm: float = 0.0
    select_by: str = "top1"
    must_record: bool = True

    def evaluates(self, epoch: int) -> bool:
        """Return whether an epoch is followed by an evaluation."""
        return epoch == self.epochs or (self.evaluate_every > 0 and epoch % self.evaluate_every == 0)

    def keeps(self, epoch: int) -> bool:
        """Return whether the checkpoint of an epoch is kept."""
        return self.save_every > 0 and epoch % self.save_every == 0


@dataclass
class Training:
    """The components of a training.

    Attributes:
        facts: Facts that are known before the run starts.
        network: The unwrapped network.
        method: Training method, which calls the wrapped network.
        data: Training set, for methods that use all of it at once.
        loaders: Loaders of this process.
        optimizer: Optimizer of the parameters that the method trains.
        schedule: Learning rate of every step.
        scaler: Gradient scaler, enabled for fp16.
        new_evaluator: Returns an empty evaluator.
        plan: Schedule of the training.
        place: Processes, devices and precision.
        sharpness: Sharpness-aware minimization; None: ordinary gradients.
        average: Average of the weights, evaluated instead of them; None: no average.
        recorder: Records steps as a CUDA graph; None: every step is launched from the host.
    """

    facts: RunFacts
    network: nn.Module
    method: Method
    data: TrainingSet
    loaders: Loaders
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    scaler: torch.amp.GradScaler
    new_evaluator: Callable[[], Evaluator]
    plan: Plan
    place: Place
    sharpness: SharpnessAware | None = None
    average: WeightAverage | None = None
    recorder: Recorder | None = None

    def evaluated(self) -> nn.Module:
        """Return the network to evaluate."""
        return self.average.network if self.average else self.method.evaluated()
