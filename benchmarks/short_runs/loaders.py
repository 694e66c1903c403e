#!/usr/bin/env python3
"""Compare the accuracy of trainings with `DATASET.LOADER pillow` and `fast` on small images that are enlarged.

    python benchmarks/short_runs/loaders.py train.json valid.json --fraction 0.15 --valid 0.1

The images are enlarged to `--side` pixels and stored as JPEG files, so that both loaders decode, crop and augment files
(policy `randaugment`). ResNet-32 is trained on crops of 32 pixels with cross-entropy, with both loaders on the same
seeds. Prints accuracy by shot group, mean and standard deviation over the seeds, and whether the means are within one
standard deviation.

Exit code: 0, or 2 for an invalid command or file.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from subsets import data_parser, heading, line, write_subset

from longtail.cli.program import run_program
from longtail.config import load_config
from longtail.distributed import find_place
from longtail.runs.folder import read_json
from longtail.stages.train import train

QUALITY = 95  # of the JPEG files


def enlarge(annotations: Path, *, side: int) -> None:
    """Write every image of an annotation file at another size, and name the copies in the file instead."""
    content = json.loads(annotations.read_text())
    folder = annotations.with_suffix("")
    folder.mkdir()
    for number, entry in enumerate(content["annotations"]):
        target = folder / f"{number:05d}.jpg"
        with Image.open(entry["fpath"]) as image:
            image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC).save(target, quality=QUALITY)
        entry.update(fpath=str(target), im_height=side, im_width=side)
    annotations.write_text(json.dumps(content))


def accuracies(folder: Path, *, loader: str, seed: int, epochs: int, gpus: str | None) -> dict[str, float]:
    """Train with a loader, and return the accuracies of the last epoch."""
    data = ["DATASET.TRAIN_JSON", str(folder / "train.json"), "DATASET.VALID_JSON", str(folder / "valid.json")]
    images = ["DATASET.LOADER", loader, "DATASET.VIEWS", ("randaugment",), "DATASET.TEST_VIEW", "transforms"]
    schedule = [
        *("TRAIN.LR_SCHEDULER.TYPE", "cosine", "TRAIN.LR_SCHEDULER.MIN_LR", 0.0),
        *("TRAIN.LR_SCHEDULER.EPOCH_OFFSET", 0, "TRAIN.MAX_EPOCH", epochs, "VALID_STEP", epochs),
        *("TRAIN.BATCH_SIZE", 64, "TRAIN.OPTIMIZER.BASE_LR", 0.1),
        *("TRAIN.NUM_WORKERS", 0, "TEST.NUM_WORKERS", 0),
    ]
    run = ["OUTPUT_DIR", str(folder / "runs"), "NAME", f"{loader}_{seed}", "RAND_SEED", seed, "SAVE_STEP", -1]
    tail = ["TRAIN.TENSORBOARD.ENABLE", False]
    cfg = load_config("cifar10_im100_json,ce", [*data, *images, *schedule, *run, *tail])
    done = train(cfg, "short run", place=find_place(gpus))
    assert done is not None
    found: dict[str, float] = read_json(done.results)["last"]["ensemble"]
    return found


def verdict(pillow: Sequence[float], fast: Sequence[float]) -> str:
    """Return by how much the means differ, in standard deviations of the runs with Pillow."""
    apart = statistics.mean(fast) - statistics.mean(pillow)
    std = statistics.stdev(pillow)
    within = "within" if abs(apart) <= std else "NOT within"
    return f"fast - pillow: {100 * apart:+.2f} %, {within} one standard deviation ({100 * std:.2f} %)"


def compare(options: argparse.Namespace) -> None:
    """Train with both loaders and print the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, source, fraction in (
            ("train.json", options.train, options.fraction),
            ("valid.json", options.valid_json, options.valid),
        ):
            enlarge(write_subset(source, folder / name, fraction=fraction), side=options.side)
        found: dict[str, list[dict[str, float]]] = {"pillow": [], "fast": []}
        minutes = dict.fromkeys(found, 0.0)
        for seed in range(options.seeds):
            for loader, runs in found.items():
                start = time.monotonic()
                runs.append(accuracies(folder, loader=loader, seed=seed, epochs=options.epochs, gpus=options.gpus))
                minutes[loader] += (time.monotonic() - start) / 60 / options.seeds
        print(heading())
        for loader, runs in found.items():
            print(line(loader, runs, minutes=minutes[loader]))
        print(verdict(*([run["top1"] for run in runs] for runs in found.values())))


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and compare."""
    parser = data_parser(__doc__)
    parser.add_argument("--side", type=int, default=96, help="pixels of the enlarged images")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("--seeds: a standard deviation needs at least 2")
    return run_program(lambda: compare(options))


if __name__ == "__main__":
    sys.exit(main())
