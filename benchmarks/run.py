#!/usr/bin/env python3
"""Compare the speed of longtail with a plain baseline on this machine, and print one table.

    python benchmarks/run.py
    python benchmarks/run.py --rows epoch evaluation --json record.json
    python benchmarks/run.py --rows loader --photos FOLDER --rounds 7

Nothing is downloaded: images are synthetic, JPEG files are written to a temporary folder. Ours and the baseline run
interleaved in one process; medians of several rounds are compared. A line below the table warns if the machine was
busy. GPU rows need a GPU.

Exit code: 0, or 2 for an invalid command.
"""

import argparse
import importlib
import sys
from typing import Any

import torch
from measuring import Row, footer, machine, positive, table, write_record

CUDA = torch.device("cuda")
# name -> file, and arguments of its `measure`
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "augmentation": ("augmentation", {}),
    "loader": ("jpeg_loader", {}),
    "start": ("start", {}),
    "threads": ("threads", {}),
    "epoch": ("epoch", {}),
    "evaluation": ("evaluation", {}),
}
GPU_ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpu_epoch": ("epoch", {"device": CUDA, "images": 12_800}),
    "gpu_schedule": ("schedule", {"device": CUDA}),
    "gpu_evaluation": ("evaluation", {"device": CUDA}),
    "gpu_large": ("large_images", {"device": CUDA}),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write the record."""
    every = {**ROWS, **GPU_ROWS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", metavar="NAME", choices=every, help=", ".join(every))
    parser.add_argument("--rounds", type=positive, metavar="N", help="rounds of every row; default: that of each row")
    parser.add_argument("--photos", metavar="FOLDER", help="JPEG files for the row loader; default: synthetic images")
    parser.add_argument("--json", metavar="FILE", help="also write the measurements to this JSON file")
    options = parser.parse_args(arguments)

    available = every if torch.cuda.is_available() else ROWS
    names = options.rows or list(available)
    absent = [name for name in names if name not in available]
    if absent:
        parser.error(f"{', '.join(absent)}: this machine has no GPU")
    facts = machine()
    rounds = {} if options.rounds is None else {"rounds": options.rounds}
    rows: list[Row] = []
    for name in names:
        file, settings = available[name]
        sys.stderr.write(f"{name} ...\n")
        if name == "loader" and options.photos:
            settings = {**settings, "folder": options.photos}
        rows += importlib.import_module(file).measure(**settings, **rounds)
    print(table(rows))
    print(footer(rows, facts))
    if available is ROWS and not options.rows:
        print(f"not measured without a GPU: {', '.join(GPU_ROWS)}")
    if options.json:
        write_record(options.json, rows, facts=facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
