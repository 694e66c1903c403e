#!/usr/bin/env python3
"""Compare cross-entropy with CADEL on small images, before and after the compensation of the class prior.

    python benchmarks/short_runs/cadel.py train.json valid.json
    python benchmarks/short_runs/cadel.py train.json valid.json --epochs 20 --seeds 2 --fraction 0.25 --valid 0.2

Trains `ce` and `cadel_r32` with ResNet-32 under a cosine schedule. The strength of the logit adjustment is chosen on a
tenth of the validation images of each class; all lines report the other images, after the last epoch. Prints mean and
standard deviation over the seeds by shot group, also for each head of the cascade. Shot groups are computed from the
training images that are used.

Exit code: 0, or 2 for an invalid command or file.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from subsets import data_parser, heading, line, write_subset
from yacs.config import CfgNode

from longtail.cli.program import run_program
from longtail.config import load_config
from longtail.distributed import find_place
from longtail.runs.folder import read_json
from longtail.stages.calibrate import calibrate
from longtail.stages.calibration_spec import Calibration
from longtail.stages.train import train

STRENGTHS = tuple(step / 4 for step in range(9))
CHOICE = Calibration("TEST.LOGIT_ADJUSTMENT", STRENGTHS, hold_out=0.1)
METHODS = ("ce", "cadel_r32")


def settings(method: str, folder: Path, *, epochs: int, batch: int, seed: int) -> CfgNode:
    """Return the config of a training on the annotation files of a folder."""
    data = ["DATASET.TRAIN_JSON", str(folder / "train.json"), "DATASET.VALID_JSON", str(folder / "valid.json")]
    schedule = [
        *("TRAIN.LR_SCHEDULER.TYPE", "cosine", "TRAIN.LR_SCHEDULER.MIN_LR", 0.0),
        *("TRAIN.LR_SCHEDULER.EPOCH_OFFSET", 0, "TRAIN.MAX_EPOCH", epochs),
    ]
    schedule += ["TRAIN.BATCH_SIZE", batch]
    run = ["OUTPUT_DIR", str(folder / "runs"), "NAME", f"{method}_{seed}", "RAND_SEED", seed]
    quiet = ["VALID_STEP", epochs, "SAVE_STEP", -1, "TRAIN.TENSORBOARD.ENABLE", False]
    return load_config(f"cifar10_im100_json,{method}", [*data, *schedule, *run, *quiet])


def outcome(cfg: CfgNode, *, gpus: str | None) -> tuple[dict[str, Any], float]:
    """Train and calibrate; return the result of the calibration, and the minutes of the training."""
    start = time.monotonic()
    run = train(cfg, "short run", place=find_place(gpus))
    minutes = (time.monotonic() - start) / 60
    assert run is not None
    last = cfg.clone()
    last.defrost()
    last.TEST.MODEL_FILE = "last.pth"
    results: dict[str, Any] = read_json(calibrate(last, run.path, CHOICE, place=find_place(gpus)) / "results.json")
    return results, minutes


def report(method: str, outcomes: list[tuple[dict[str, Any], float]]) -> None:
    """Print the lines of a method."""
    results, minutes = [found for found, _ in outcomes], sum(spent for _, spent in outcomes) / len(outcomes)
    chosen = ", ".join(f"{found['calibration']['value']:g}" for found in results)
    print(line(method, [found["calibration"]["without"] for found in results], minutes=minutes))
    compensated = [found["ensemble"] for found in results]
    print(line(f"{method}, compensated ({chosen})", compensated, minutes=minutes))
    heads = len(results[0]["experts"])
    for head in range(heads if heads > 1 else 0):
        name = f"  head {head + 1} alone, compensated"
        print(line(name, [found["experts"][head] for found in results], minutes=minutes), flush=True)


def compare(options: argparse.Namespace) -> None:
    """Run every method with every seed and print the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_subset(options.train, folder / "train.json", fraction=options.fraction)
        write_subset(options.valid_json, folder / "valid.json", fraction=options.valid)
        size = f"{options.epochs} epochs, batch {options.batch}, {options.fraction:g} of the training images"
        print(f"{size}, seeds 0..{options.seeds - 1}")
        print(heading(), flush=True)
        for method in METHODS:
            report(
                method,
                [
                    outcome(
                        settings(method, folder, epochs=options.epochs, batch=options.batch, seed=seed),
                        gpus=options.gpus,
                    )
                    for seed in range(options.seeds)
                ],
            )


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and compare."""
    parser = data_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128, help="images per step; fewer give few images more steps")
    options = parser.parse_args(arguments)
    return run_program(lambda: compare(options))


if __name__ == "__main__":
    sys.exit(main())
