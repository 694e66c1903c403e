"""Common parts of the short runs: smaller annotation files, and a table by shot group."""

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

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
    content = json.loads(source.read_text())
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
