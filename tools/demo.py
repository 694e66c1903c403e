#!/usr/bin/env python3
"""Show what the software does: cross-entropy against NCL on long-tailed handwritten digits.

    python tools/demo.py
    python tools/demo.py --seeds 1 2 3

Trains both through main/train.py, once per seed, on the digits that ship with scikit-learn, and prints a table read
from the run directories. About three minutes per seed on two cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from longtail.evaluation import results_table

HERE = Path(__file__).resolve().parent.parent
METHODS = {"cross-entropy": "configs/digits_lt/ce.yaml", "NCL, 3 experts": "configs/digits_lt/ncl.yaml"}


def train(config: str, seed: int, output: str) -> Path:
    """Train one configuration and return its run directory; leaves the program where training fails."""
    overrides = ["RAND_SEED", str(seed), "OUTPUT_DIR", output]
    before = set(Path(output).glob("*/*"))
    done = subprocess.run([sys.executable, "main/train.py", "--cfg", config, *overrides], cwd=HERE)
    if done.returncode:
        sys.exit(done.returncode)
    new = [path for path in Path(output).glob("*/*") if (path / "results.json").is_file()]
    return max(set(new) - before or new, key=lambda path: path.stat().st_mtime)


def row(method: str, runs: list[Path]) -> dict[str, Any]:
    """Return one row of the table: means over the seeds, of the last epoch."""
    results = [json.loads((run / "results.json").read_text()) for run in runs]
    accuracies = [result["last"]["ensemble"] for result in results]
    means = {
        name: statistics.fmean(accuracy[name] for accuracy in accuracies) for name in ("top1", "many", "medium", "few")
    }
    return {"method": method, **means, "seconds": round(statistics.fmean(result["seconds"] for result in results))}


def main() -> None:
    """Parse the command line, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="one training of each method per seed")
    parser.add_argument("--output", default="output/demo", help="where the run directories go")
    options = parser.parse_args()
    output = str(Path(options.output).absolute())
    runs: dict[str, list[Path]] = {method: [] for method in METHODS}
    for seed in options.seeds:
        for method, config in METHODS.items():
            print(f"\n{method}, seed {seed}", flush=True)
            runs[method].append(train(config, seed, output))
    print(f"\nDigits-LT: accuracy of the ensemble after the last epoch, mean of {len(options.seeds)} seed(s)\n")
    print(results_table([row(method, paths) for method, paths in runs.items()]))
    print("\nrun directories (figures in figures/):")
    for paths in runs.values():
        for path in paths:
            print(f"  {path}")


if __name__ == "__main__":
    main()
