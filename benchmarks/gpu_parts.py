#!/usr/bin/env python3
"""Parts of an epoch of NCL on a GPU, and the throughput of several processes that share it.

    python benchmarks/gpu_parts.py
    python benchmarks/gpu_parts.py --processes 4 --seconds 6

Images of CIFAR's size, 3 x ResNet-32, batch 64, bf16. Without --processes it prints the seconds of an epoch, of its
augmentation, of saving and evaluating, and of a step for each value of TRAIN.CUDA_GRAPH.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from made_up_images import long_tailed_labels, smooth_images
from measuring import positive
from training import build_trainer, config, image_set

from longtail.engine.finite_guard import Where
from longtail.engine.trainer import Trainer

IMAGES = 12_406
SETTINGS = [
    *("BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"] * 3, "TRAIN.AMP", "bf16", "TRAIN.BATCH_SIZE", 64),
    *("INPUT_SIZE", [32, 32], "TEST.BATCH_SIZE", 256, "TRAIN.OPTIMIZER.CLIP_NORM", 1.0, "TRAIN.MAX_EPOCH", 10_000),
]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=positive, metavar="N", help="train in N processes at once")
    parser.add_argument("--seconds", type=positive, default=6, metavar="S", help="seconds that each of them trains")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # a process of --processes
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        parser.error("this machine has no GPU")
    if options.one:
        print(rate(options.seconds))
    elif options.processes:
        shared(options.processes, options.seconds)
    else:
        for mode in ("off", "loop", "streams"):
            parts(mode)
    return 0


def trainer_of(mode: str) -> Trainer:
    """Return a trainer that has trained an epoch."""
    images, labels = smooth_images(IMAGES, 32, 32), long_tailed_labels(IMAGES, 10)
    valid = image_set(images[:10_000], labels[:10_000])
    cfg = config(*SETTINGS, "TRAIN.CUDA_GRAPH", mode)
    trainer = build_trainer(cfg, images, labels, device=torch.device("cuda"), valid=valid)
    trainer.train_epoch()
    return trainer


def seconds_of(work: Callable[[], object], times: int = 1) -> float:
    """Return the seconds that a piece of work takes."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(times):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / times


def parts(mode: str) -> None:
    """Print the parts of an epoch."""
    trainer = trainer_of(mode)
    epoch = seconds_of(trainer.train_epoch, 2)
    augmentation = seconds_of(lambda: list(trainer.training.loaders.train.epoch(1)))
    saving, evaluation = seconds_of(trainer.save), seconds_of(trainer._evaluate)
    trainer.set_up_epoch()
    batch = next(trainer._batches()).to(torch.device("cuda"))
    where = Where(1, 1, batch.all_indices)

    first, later = (seconds_of(lambda: trainer.step(batch, where), times) for times in (1, 50))
    print(
        f"TRAIN.CUDA_GRAPH {mode}: epoch {epoch:.2f} s, augmentation {augmentation:.3f} s, save {saving:.3f} s, "
        f"evaluate {evaluation:.2f} s, first step {1e3 * first:.1f} ms, later steps {1e3 * later:.2f} ms"
    )


def rate(seconds: int) -> float:
    """Return the images per second of this process."""
    trainer = trainer_of("streams")
    epochs, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        seconds_of(trainer.train_epoch)
        epochs += 1
    return epochs * IMAGES / (time.perf_counter() - started)


def shared(processes: int, seconds: int) -> None:
    """Print the images per second of several processes together."""
    command = [sys.executable, __file__, "--one", "--seconds", str(seconds)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    rates = [float(process.communicate()[0]) for process in started]
    print(f"{processes} processes: {sum(rates):,.0f} images/s together, {min(rates):,.0f} to {max(rates):,.0f} each")


if __name__ == "__main__":
    sys.exit(main())
