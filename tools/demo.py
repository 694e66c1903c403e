#!/usr/bin/env python3
"""Compare cross-entropy with NCL on long-tailed handwritten digits.

    python tools/demo.py
    python tools/demo.py --seeds 1 2 3

Trains both, once per seed, on the digits that ship with scikit-learn, and prints a table of the results. Takes less
than four minutes per seed on two cores. The same command resumes after an interruption.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from longtail.cli.program import Parser, run_program
from longtail.evaluation import GROUPS
from longtail.output_folders import RESULTS

METHODS = {"cross-entropy": "digits_lt,ce", "NCL, 3 experts": "digits_lt,ncl"}


def row(method: str, runs: list[Path]) -> dict[str, Any]:
    """Return one row of the table: means over the runs, of the last epoch."""
    results = [json.loads((run / RESULTS).read_text()) for run in runs]
    accuracies = [result["last"]["ensemble"] for result in results]
    means = {name: statistics.fmean(each[name] for each in accuracies) for name in ("top1", *GROUPS)}
    return {"method": method, **means, "seconds": round(statistics.fmean(result["seconds"] for result in results))}


def demo(seeds: list[int], output: str, gpus: str | None) -> None:
    """Train every method with every seed, and print the table."""
    import longtail
    from longtail.evaluation import results_table
    from longtail.runs.console import log_to_terminal

    log_to_terminal()
    runs: dict[str, list[Path]] = {method: [] for method in METHODS}
    for seed in seeds:
        for method, config in METHODS.items():
            print(f"\n{method}, seed {seed}", flush=True)
            cfg = longtail.load_config(config, ["RAND_SEED", seed, "OUTPUT_DIR", output])
            runs[method].append(longtail.train(cfg, gpus=gpus))
    runs_per_method = "one seed" if len(seeds) == 1 else f"mean of {len(seeds)} seeds"
    print(f"\nDigits-LT, ensemble accuracy in percent after the last epoch, {runs_per_method}:\n")
    print(results_table([row(method, paths) for method, paths in runs.items()]))
    print("\nrun directories, with figures:")
    for path in (path for paths in runs.values() for path in paths):
        print(f"  {path}")


def main() -> int:
    """Parse the command line and run the demonstration."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="train each method once per seed")
    parser.add_argument("--output", default="output/demo", help="folder of the run directories")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu or 0; default: the first GPU, or the CPU")
    options = parser.parse(None)
    return run_program(lambda: demo(options.seeds, options.output, options.gpus))


if __name__ == "__main__":
    sys.exit(main())
