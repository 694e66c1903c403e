#!/usr/bin/env python3
"""Write a smaller annotation file with the first images of every class; also the common parts of the short runs.

    python benchmarks/short_runs/subsets.py train.json smaller.json --fraction 0.1

Exit code: 0, or 2 for an invalid command or file.
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from longtail.cli.program import run_program
from longtail.user_files import read_json

SHOWN = ("top1", "many", "medium", "few")


def data_parser(documentation: str | None) -> argparse.ArgumentParser:
    """Return a parser of the arguments of all short runs: images, fractions of them, and the device."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path, help="annotation file of the training images, 32 x 32, ten classes")
    parser.add_argument("valid_json", type=Path, metavar="valid", help="annotation file of the validation images")
    parser.add_argument("--fraction", type=float, default=1.0, help="fraction of the training images of each class")
    parser.add_argument("--valid", type=float, default=1.0, help="fraction of the validation images of each class")
    parser.add_argument("--gpus", default=None)
    return parser


def write_subset(source: Path, target: Path, *, fraction: float) -> Path:
    """Write an annotation file with the first images of every class, at least one, with absolute paths.

    Args:
        source: Annotation file.
        target: File to write.
        fraction: Fraction of the images of each class to keep.
    """
    content = read_json(source, "annotation file")
    per_class = defaultdict(list)
    for entry in content["annotations"]:
        per_class[entry["category_id"]].append({**entry, "fpath": str((source.parent / entry["fpath"]).resolve())})
    kept = [entry for entries in per_class.values() for entry in entries[: max(round(fraction * len(entries)), 1)]]
    target.write_text(json.dumps({**content, "annotations": kept}))
    return target


def line(name: str, runs: Sequence[Mapping[str, float]], *, minutes: float) -> str:
    """Return the line of a method: mean and standard deviation over its runs, in percent, and minutes of one run."""
    cells = []
    for key in SHOWN:
        values = [100 * run[key] for run in runs if key in run]
        spread = f" ±{statistics.stdev(values):4.1f}" if len(values) > 1 else ""
        cells.append(f"{statistics.mean(values):5.1f}{spread}" if values else "-")
    return f"{name:34} " + " ".join(f"{cell:>11}" for cell in cells) + f" {minutes:8.1f}"


def heading() -> str:
    """Return the first line of the table."""
    return f"{'top-1, %':34} " + " ".join(f"{key:>11}" for key in ("all", *SHOWN[1:])) + "  minutes"


def main(arguments: list[str] | None = None) -> int:
    """Write the smaller file, and print how many images it has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="annotation file")
    parser.add_argument("target", type=Path, help="file to write")
    parser.add_argument("--fraction", type=float, required=True, help="of the images of each class, at least one")
    options = parser.parse_args(arguments)

    def write() -> None:
        target = write_subset(options.source, options.target, fraction=options.fraction)
        print(f"{target}: {len(json.loads(target.read_text())['annotations'])} images")

    return run_program(write)


if __name__ == "__main__":
    sys.exit(main())
