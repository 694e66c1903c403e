"""Information about a config before it is trained: settings, size of the network, and training time."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from yacs.config import CfgNode

from longtail.config import KEYS, flatten
from longtail.data import build_splits
from longtail.distributed import Place
from longtail.engine.compiling import uncompiled
from longtail.engine.timing import WARM_UP, StepTimes, time_steps
from longtail.engine.trainer import Trainer
from longtail.engine.training import Training
from longtail.runs.progress import clock
from longtail.runs.resume import ResumePoint
from longtail.runs.run import Run
from longtail.stages.build import build_training
from longtail.stages.checks import check_training, training_warnings
from longtail.stages.dry_run import dry_run
from longtail.stages.splits import describe_data


def info(cfg: CfgNode, source: str, *, place: Place) -> list[str]:
    """Return information about a config as lines of text; nothing is written.

    Args:
        cfg: Config.
        source: Name of the config.
        place: Device on which the steps are measured.

    Raises:
        UserError: As for a training.
    """
    place = place.with_precision(cfg.TRAIN.AMP)
    check_training(cfg, place)
    lines = ["differs from the defaults:", *_differences(cfg)]
    splits = build_splits(cfg)
    training = build_training(cfg, splits, place=place, source=source)
    with contextlib.closing(training.loaders), contextlib.closing(Run(cfg, place, ResumePoint())) as run:
        dry_run(cfg, training)
        lines += ["data:", f"  {describe_data(cfg, splits)}"]
        lines += ["network:", *_network(training)]
        times = time_steps(Trainer(training, run))
        warnings = [f"warning: {warning}" for warning in training_warnings(cfg, training.method.loss)]
    return [*lines, "training:", *_time(training, times), *_memory(place), *warnings]


def _differences(cfg: CfgNode) -> Iterator[str]:
    """Yield a line for each key whose value is not the default."""
    different = {name: value for name, value in flatten(cfg) if value != KEYS[name].default}
    width = max(map(len, different), default=0)
    for name, value in different.items():
        yield f"  {name:<{width}}  {value!r}  (default {KEYS[name].default!r})"


def _network(training: Training) -> Iterator[str]:
    images = training.loaders.valid.peek(1).images[:1].to(training.place.device)
    height, width = images.shape[-2:]
    multiply_adds = count_multiply_adds(training.network, training.loaders.normalize(images)[0])
    yield f"  {training.facts.architecture}, {training.facts.experts} head(s)"
    yield (
        f"  {training.facts.parameters:,} parameters, {multiply_adds / 1e6:,.1f} million multiply-adds per image of "
        f"{height}x{width}"
    )


def count_multiply_adds(network: torch.nn.Module, images: Any) -> int:
    """Return the multiply-adds of convolutions and matrix products in one forward pass; the network's mode is kept."""
    mode = network.training
    network.eval()
    with uncompiled(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    network.train(mode)
    return int(counter.get_total_flops()) // 2


def _time(training: Training, times: StepTimes) -> Iterator[str]:
    plan, steps, place = training.plan, len(training.loaders.train), training.place
    evaluations = sum(plan.evaluates(epoch) for epoch in range(1, plan.epochs + 1))
    trained = plan.epochs * steps * times.training_step
    evaluated = evaluations * len(training.loaders.valid) * times.validation_batch
    batch_size = training.loaders.train.batch_size
    yield (
        f"  {plan.epochs:,} epochs of {steps:,} steps of {batch_size:,} images, {evaluations:,} evaluations of "
        f"{len(training.loaders.valid):,} batches"
    )
    yield (
        f"  {times.training_step:.4g} s per step (mean of {times.steps} after {WARM_UP} of warm-up) on {place.device} "
        f"with precision {place.precision}"
    )
    total = trained + evaluated
    yield f"  about {total / 3600:.3g} h ({clock(total)}) in total, {evaluated / max(total, 1e-9):.0%} of it evaluation"


def _memory(place: Place) -> list[str]:
    """Return the line about the memory of a GPU; nothing for a CPU."""
    if place.device.type != "cuda":
        return []
    return [f"  peak GPU memory {torch.cuda.max_memory_allocated(place.device) / 2**30:.2f} GiB"]
