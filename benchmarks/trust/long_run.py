#!/usr/bin/env python3
"""Train on a tiny data set for thousands of epochs, and check whether memory, file handles and files grow.

    python benchmarks/trust/long_run.py --epochs 2000

Twelve images, evaluated every 500 epochs. The memory (RSS) and the open handles of the process are read every 50
epochs. After the first quarter the memory may grow by the history of the metrics only: at most 2 KB an epoch.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from command_lines import make_images
from commands import SETTINGS, write_splits
from small import CPU, no_figures

from longtail.config import load_config
from longtail.engine.trainer import Trainer
from longtail.stages.train import train

LARGEST = 2.0  # KB of memory that an epoch may add


def main(arguments: list[str] | None = None) -> int:
    """Train and print what has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2000, metavar="N")
    parser.add_argument("--every", type=int, default=50, metavar="N", help="epochs between two readings; default: 50")
    chosen = parser.parse_args(arguments)
    readings: list[tuple[int, float, int]] = []  # epoch, KB, handles
    original = Trainer._end_epoch

    def end_epoch(trainer: Trainer, record: dict[str, Any]) -> None:
        original(trainer, record)
        if record["epoch"] % chosen.every == 0:
            readings.append((record["epoch"], resident(), len(os.listdir("/proc/self/fd"))))

    with tempfile.TemporaryDirectory() as name, no_figures(), patch.object(Trainer, "_end_epoch", end_epoch):
        folder = Path(name)
        make_images(folder / "imgs")
        write_splits(folder)
        files = ["DATASET.TRAIN_JSON", folder / "train.json", "DATASET.VALID_JSON", folder / "valid.json"]
        more = ["TRAIN.MAX_EPOCH", chosen.epochs, "VALID_STEP", 500, "TRAIN.TENSORBOARD.ENABLE", True]
        settings = [*SETTINGS, *map(str, files), *more, "OUTPUT_DIR", str(folder / "output")]
        started = time.monotonic()
        run = train(load_config(None, settings), "small", place=CPU)
        assert run is not None
        seconds = time.monotonic() - started
        kinds = {"metrics.jsonl": run.metrics, "train.log": run.log, "tensorboard": run.path / "tensorboard"}
        sizes = {kind: size_of(path) / chosen.epochs for kind, path in kinds.items()}
        checkpoints = len(list(run.models.glob("*")))
    grown = report(readings, chosen.epochs, seconds=seconds)
    print(f"  {', '.join(f'{kind} {size:.0f} B an epoch' for kind, size in sizes.items())}; {checkpoints} checkpoints")
    return 1 if grown else 0


def report(readings: list[tuple[int, float, int]], epochs: int, *, seconds: float) -> bool:
    """Print the growth after the first quarter; return whether it is too much."""
    settled = np.array([reading for reading in readings if reading[0] > epochs / 4], dtype=float)
    slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
    handles = sorted({int(reading[2]) for reading in readings})
    first, last = settled[0, 1] / 1024, settled[-1, 1] / 1024
    print(
        f"{epochs:,} epochs in {seconds:.0f} s: memory {first:.0f} MB after a quarter, {last:.0f} MB at the end, "
        f"{slope:.2f} KB an epoch; {handles[0]} to {handles[-1]} open handles"
    )
    return slope > LARGEST or handles[-1] - handles[0] > 2


def resident() -> float:
    """Return the resident memory of this process in KB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def size_of(path: Path) -> int:
    """Return the bytes of a file or of the files in a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    sys.exit(main())
