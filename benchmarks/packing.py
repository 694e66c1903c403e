#!/usr/bin/env python3
"""Compare loading original photographs with loading copies made by `longtail pack`.

    python benchmarks/packing.py FOLDER
    python benchmarks/packing.py FOLDER --sides 256 512 --rounds 9

FOLDER contains JPEG files. Prints for each set the disk space per image in KB, the time of the first epoch (with an
empty page cache), and CPU time per image in later epochs: medians of interleaved rounds in this process, with
`DATASET.LOADER fast`, and the median ratio to a plain Pillow loader of the originals, to uint8. Then the time of
packing and of checking a complete copy.

Exit code: 0, or 2 for an invalid command.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jpeg_loader import baseline_epoch, our_epoch
from reference import LargeImages

from longtail.cli.program import run_program
from longtail.config import load_config
from longtail.data import build_splits
from longtail.data.images.files import ImageFiles
from longtail.data.pack import Settings, pack
from longtail.data.pack.settings import FORMATS
from longtail.errors import UserError

SIDE = 224  # pixels of a training view
BASELINE = "Pillow, as they are"


@dataclass
class Set:
    """One way to store the photographs.

    Attributes:
        epoch: Loads all of them once.
        stored: Files in which they are stored.
        number: Number of photographs.
    """

    epoch: Callable[[], None]
    stored: Sequence[Path]
    number: int

    def first_epoch(self) -> float:
        """Return the seconds of an epoch whose files are not in the page cache."""
        for path in self.stored:
            forget(path)
        return seconds(self.epoch, time.perf_counter)

    def kilobytes(self) -> float:
        """Return the bytes on the disk per photograph, in KB."""
        return sum(path.stat().st_size for path in self.stored) / self.number / 1e3


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=[320, 256], metavar="PIXELS")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    return run_program(lambda: compare(options.folder, options.sides, rounds=options.rounds))


def compare(folder: Path, sides: Iterable[int], *, rounds: int) -> None:
    """Pack the photographs in each format at each size, load all sets in turn, and print the tables."""
    torch.set_num_threads(1)
    photographs = sorted(path.resolve() for path in folder.glob("*.jp*g"))
    if not photographs:
        raise UserError(f"{folder} contains no JPEG files")
    names, number = [str(path) for path in photographs], len(photographs)
    sets = {
        BASELINE: Set(baseline_epoch(LargeImages(names, SIDE)), photographs, number),
        "as they are": Set(our_epoch(ImageFiles(names, fast=True), SIDE), photographs, number),
    }
    with tempfile.TemporaryDirectory() as temporary:
        costs = []
        for side in sides:
            for kind in FORMATS:
                target = Path(temporary) / f"{kind}_{side}"
                sets[f"{kind} {side}"], cost = packed(names, target, Settings(side, format=kind))
                costs.append(f"packing {kind} {side}: {cost}")
        first = {name: one.first_epoch() for name, one in sets.items()}
        show(sets, first, times_of(sets, rounds))
    print("\n".join(costs))


def packed(photographs: Sequence[str], folder: Path, settings: Settings) -> tuple[Set, str]:
    """Pack the photographs; return the copies and a description of the time of packing."""
    listed = folder.with_suffix(".json")
    entries = [{"fpath": path, "category_id": number % 2} for number, path in enumerate(photographs)]
    listed.write_text(json.dumps({"annotations": entries, "num_classes": 2}))
    words = ["DATASET.DATASET", "annotations", "DATASET.LOADER", "fast", "DATASET.VALID_JSON", str(listed)]
    cfg = load_config(None, [*words, "DATASET.TRAIN_JSON", str(listed)])
    spent, again = (seconds(lambda: pack(cfg, folder, settings)) / 2 for _ in range(2))  # the same images twice
    images = build_splits(load_config(None, [*words, "DATASET.TRAIN_JSON", str(folder / "train.json")])).train.load()
    assert isinstance(images, ImageFiles)
    stored = [*folder.glob("train/*/*.jpg"), *folder.glob("train.pixels")]
    per_image = 1e3 / len(photographs)
    cost = f"{spent * per_image:.1f} ms of a processor per image, a complete one {again * per_image:.1f} ms"
    return Set(our_epoch(images, SIDE), stored, len(photographs)), cost


def times_of(sets: dict[str, Set], rounds: int) -> dict[str, list[float]]:
    """Return the CPU time of an epoch of each set in each round, in seconds."""
    times: dict[str, list[float]] = {name: [] for name in sets}
    for _ in range(rounds):
        for name, one in sets.items():
            times[name].append(seconds(one.epoch))
    return times


def show(sets: dict[str, Set], first: dict[str, float], times: dict[str, list[float]]) -> None:
    """Print a line for each set."""
    for name, one in sets.items():
        ratios = sorted(slow / own for slow, own in zip(times[BASELINE], times[name], strict=True))
        spent = statistics.median(times[name]) / one.number * 1e3
        print(
            f"{name:20} {one.kilobytes():5.0f} KB  first epoch {first[name]:5.2f} s  later {spent:5.2f} ms per image  "
            f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def forget(path: Path) -> None:
    """Drop a file from the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return the CPU time of a call, or the time by another clock."""
    start = clock()
    work()
    return clock() - start


if __name__ == "__main__":
    sys.exit(main())
