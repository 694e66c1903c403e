#!/usr/bin/env python3
"""Measure the speed of this software against a plain baseline, on this machine, and print one table.

    python benchmarks/run.py
    python benchmarks/run.py --rows epoch judging --json record.json
    python benchmarks/run.py --rows epoch --rounds 7

Nothing is downloaded: images are made up, JPEG files are written to a temporary folder. Ours and the baseline take
turns in one process, and medians of several rounds are compared. Figures mean something on a quiet machine only; a busy
one is told below the table. Rows of GPUs are measured where there is one.

Exit code: 0, or 2 for a mistake in the command.
"""

import argparse
import importlib
import sys
from typing import Any

import torch
from measuring import Row, footer, machine, positive, table, write_record

CUDA = torch.device("cuda")
# name -> file, and how its `measure` is called
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "augmentation": ("augmentation", {}),
    "loader": ("jpeg_loader", {}),
    "start": ("start", {}),
    "epoch": ("epoch", {}),
    "judging": ("judging", {}),
}
GPU_ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpu_epoch": ("epoch", {"device": CUDA, "images": 12_800}),
    "gpu_schedule": ("schedule", {"device": CUDA}),
    "gpu_judging": ("judging", {"device": CUDA}),
    "gpu_large": ("large_images", {"device": CUDA}),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write down."""
    every = {**ROWS, **GPU_ROWS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", metavar="NAME", choices=every, help=", ".join(every))
    parser.add_argument("--rounds", type=positive, metavar="N", help="rounds of every row; default: each row's own")
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    options = parser.parse_args(arguments)

    there = every if torch.cuda.is_available() else ROWS
    names = options.rows or list(there)
    absent = [name for name in names if name not in there]
    if absent:
        parser.error(f"{', '.join(absent)}: this machine has no GPU")
    facts = machine()
    rounds = {} if options.rounds is None else {"rounds": options.rounds}
    rows: list[Row] = []
    for name in names:
        file, settings = there[name]
        sys.stderr.write(f"{name} ...\n")
        rows += importlib.import_module(file).measure(**settings, **rounds)
    print(table(rows))
    print(footer(rows, facts))
    if there is ROWS and not options.rows:
        print(f"not measured, for want of a GPU: {', '.join(GPU_ROWS)}")
    if options.json:
        write_record(options.json, rows, facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
