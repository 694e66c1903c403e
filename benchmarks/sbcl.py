#!/usr/bin/env python3
"""Compare SBCL with supervised contrast: both stages, with the same budget.

    python benchmarks/sbcl.py
    python benchmarks/sbcl.py digits_lt --epochs 60 30 --seeds 2
    python benchmarks/sbcl.py cifar10_im100_json --gpus 0 DATASET.TRAIN_JSON train.json DATASET.VALID_JSON valid.json

Runs the recipe `sbcl` with capped clusters (the paper's Algorithm 1), with the released k-means, and without
clustering (supervised contrast alone). Prints the accuracy of the classifier's last epoch in percent, mean and standard
deviation over the seeds; the seconds of an epoch of the first stage, evaluations and clusterings included; and the
seconds of one clustering, encoding included. KEY VALUE overrides keys of both stages, contrast:KEY VALUE or
classifier:KEY VALUE those of one. Interrupted runs are resumed.

Exit code: 0, or 2 for an invalid command or file.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from measuring import positive

from longtail.distributed import Place, find_place
from longtail.errors import UserError
from longtail.runs.directory import RunDirectory
from longtail.stages.recipe import run_recipe

SUBCLASS = "contrast:TRAIN.COMBINER.SUBCLASS"
VARIANTS = {
    "SBCL, capped": [f"{SUBCLASS}.CLUSTERING", "capped"],
    "SBCL, released k-means": [f"{SUBCLASS}.CLUSTERING", "kmeans"],
    "supervised contrast": [f"{SUBCLASS}.WARM_EPOCHS", "1000000"],
}
GROUPS = ("top1", "many", "medium", "few")
TIMES = ("epoch", "clustering")


def main(arguments: list[str] | None = None) -> int:
    """Train every variant with every seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="digits_lt", help="short name or file of the data's config")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE")
    parser.add_argument("--epochs", type=positive, nargs=2, default=[60, 30], metavar=("CONTRAST", "CLASSIFIER"))
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="number of seeds")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu, or numbers of GPUs; default: the first, or the CPU")
    parser.add_argument("--output", default="output/sbcl_comparison", metavar="FOLDER")
    options = parser.parse_intermixed_args(arguments)
    try:
        place = find_place(options.gpus)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
        for seed in range(options.seeds):
            for number, (name, settings) in enumerate(VARIANTS.items()):
                folder = ["OUTPUT_DIR", options.output, "NAME", f"variant{number}_seed{seed}", "RAND_SEED", str(seed)]
                overrides = [*schedule(*options.epochs), *options.overrides, *folder, *settings]
                found[name].append(trained(options.data, overrides, place=place))
                sys.stderr.write(f"seed {seed}, {name}: top-1 {100 * found[name][-1]['top1']:.2f} %\n")
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    print(table(found))
    return 0


def schedule(contrast: int, classifier: int) -> list[str]:
    """Return the overrides for short schedules: warm-up and clustering interval are a sixth of the contrastive epochs.

    The released warm-up is a hundredth of 1000 epochs. The classifier's rate falls after 70 % and 90 %, as released.
    """
    warm, steps = max(1, contrast // 6), sorted({classifier * 7 // 10 + 1, classifier * 9 // 10 + 1})
    return [
        *("contrast:TRAIN.MAX_EPOCH", str(contrast), "classifier:TRAIN.MAX_EPOCH", str(classifier)),
        *(f"{SUBCLASS}.WARM_EPOCHS", str(warm), f"{SUBCLASS}.EVERY", str(warm)),
        *("contrast:TRAIN.LR_SCHEDULER.WARM_EPOCH", str(warm), "classifier:TRAIN.LR_SCHEDULER.LR_STEP", str(steps)),
    ]


def trained(data: str, overrides: Sequence[str], *, place: Place) -> dict[str, float]:
    """Run the recipe; return accuracies of the classifier as fractions, and seconds of the first stage."""
    summary = json.loads(run_recipe(f"{data},sbcl", place=place, overrides=overrides).read_text(encoding="utf-8"))
    contrast, classifier = summary["stages"]
    log = RunDirectory(Path(contrast["run"])).log.read_text(encoding="utf-8")
    clustering = sum(
        statistics.mean(seconds)
        if (seconds := [float(value) for value in re.findall(rf"{work} in (\S+) s", log)])
        else 0
        for work in ("encoded", "clustered")
    )
    accuracies = {
        group: classifier["last"]["ensemble"][group] for group in GROUPS if group in classifier["last"]["ensemble"]
    }
    return {**accuracies, "epoch": contrast["seconds"] / contrast["epochs"], "clustering": clustering}


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """Return the table: one line per variant."""
    shown = [name for name in (*GROUPS, *TIMES) if name in next(iter(found.values()))[0]]
    lines = [["", *(f"{name} s" if name in TIMES else name for name in shown)]]
    for variant, runs in found.items():
        scale = {name: 1 if name in TIMES else 100 for name in shown}
        lines.append([variant, *(_spread([scale[name] * run[name] for run in runs]) for name in shown)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _spread(values: list[float]) -> str:
    std = f" +- {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{std}"


if __name__ == "__main__":
    sys.exit(main())
