#!/usr/bin/env python3
"""Compare loading photographs as they are with loading copies that `longtail pack` made.

    python benchmarks/packing.py FOLDER
    python benchmarks/packing.py FOLDER --sides 256 512 --rounds 9

FOLDER holds JPEG files. Prints KB per file and processor time per image, medians of interleaved rounds with
`DATASET.LOADER fast` in this process, and what packing costs.

Exit code: 0, or 2 for a mistake in the command.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jpeg_loader import our_epoch

from longtail.cli.program import run_program
from longtail.config import load_config
from longtail.data.pack import Settings, pack
from longtail.errors import UserError

SIDE = 224  # pixels of a training view


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=[320, 256], metavar="PIXELS")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    return run_program(lambda: compare(options.folder, options.sides, rounds=options.rounds))


def compare(folder: Path, sides: Sequence[int], *, rounds: int) -> None:
    """Pack the photographs at each size, load all sets in turn, and print the table."""
    torch.set_num_threads(1)
    photographs = sorted(str(path.resolve()) for path in folder.glob("*.jp*g"))
    if not photographs:
        raise UserError(f"{folder} holds no JPEG files")
    with tempfile.TemporaryDirectory() as temporary:
        listed = Path(temporary) / "photographs.json"
        entries = [{"fpath": path, "category_id": 0} for path in photographs]
        listed.write_text(json.dumps({"annotations": entries, "num_classes": 1}))
        cfg = load_config(None, ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(listed)])
        sets = {"as they are": photographs}
        for side in sides:
            target = Path(temporary) / str(side)
            spent = seconds(lambda target=target, side=side: pack(cfg, target, Settings(side)))  # type: ignore[misc]
            again = seconds(lambda target=target, side=side: pack(cfg, target, Settings(side)))  # type: ignore[misc]
            sets[f"side {side}"] = sorted(map(str, target.glob("train/*/*.jpg")))
            per_image = 1e3 / len(photographs)
            print(
                f"side {side}: packing {spent * per_image:.1f} ms per image, complete ones {again * per_image:.1f} ms"
            )
        show(sets, times_of(sets, rounds))


def times_of(sets: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Return the processor time of an epoch of each set in each round, in seconds."""
    epochs = {name: our_epoch(paths, SIDE, fast=True) for name, paths in sets.items()}
    times: dict[str, list[float]] = {name: [] for name in sets}
    for _ in range(rounds):
        for name, epoch in epochs.items():
            times[name].append(seconds(epoch))
    return times


def show(sets: dict[str, list[str]], times: dict[str, list[float]]) -> None:
    """Print a line for each set."""
    whole = next(iter(times.values()))
    for name, paths in sets.items():
        size = sum(Path(path).stat().st_size for path in paths) / len(paths) / 1e3
        ratio = statistics.median(first / own for first, own in zip(whole, times[name], strict=True))
        spent = statistics.median(times[name]) / len(paths) * 1e3
        print(f"{name:12} {size:6.0f} KB  {spent:5.1f} ms per image  ratio {ratio:.2f}")


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
