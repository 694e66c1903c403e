#!/usr/bin/env python3
"""Judge a trained network: accuracy, shot groups, per-class tables, confusion matrices, per expert and ensemble.

    python main/valid.py --cfg output/digits_ncl/2026-01-31-12-00-00/config.yaml
    python main/valid.py --cfg RUN/config.yaml --gpus cpu TEST.MODEL_FILE best_single.pth
    python main/valid.py --cfg RUN/config.yaml DATASET.VALID_JSON other_images.json
    python main/valid.py --cfg configs/cifar10_lt/im100/ncl.yaml TEST.MODEL_FILE released/best_ensemble_model.pth
    python main/valid.py --cfg RUN/config.yaml TEST.TAU_NORM.USE_TAU_NORM True TEST.TAU_NORM.TAU 0.7
    python main/valid.py --cfg RUN/config.yaml --tau-sweep 0 0.25 0.5 0.75 1
    python main/valid.py --cfg RUN/config.yaml --logit-adjustment-sweep

Judges best_ensemble.pth of the run directory that holds the YAML file, unless TEST.MODEL_FILE names another. Writes
RUN/evaluation/<date-time>/; for a YAML file outside a run directory OUTPUT_DIR/NAME/evaluation/<date-time>/.

A sweep judges once per strength of tau-normalisation or post-hoc logit adjustment, from one pass over the images, and
writes a table (CSV) and a picture. A strength chosen on the images that are then reported flatters the result.

Exit code: 0 done, 2 a mistake in the command, configuration or data.
"""

import argparse
import sys
from pathlib import Path

from longtail.engine.command_line import leading_numbers, run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", required=True, metavar="RUN/config.yaml", help="configuration of the run")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu or 0; default: the first GPU, or the CPU")
    sweeps = parser.add_mutually_exclusive_group()
    for name in ("tau", "logit-adjustment"):
        sweeps.add_argument(f"--{name}-sweep", nargs="*", metavar="STRENGTH", help="default: a grid of its own")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the configuration to set")
    options = parser.parse_intermixed_args(arguments)
    swept = {"tau": options.tau_sweep, "logit_adjustment": options.logit_adjustment_sweep}

    def program() -> None:
        from longtail.config import load_config
        from longtail.engine.console import log_to_terminal
        from longtail.engine.distributed import launched_world
        from longtail.engine.judging import validate
        from longtail.engine.sweep import sweep

        log_to_terminal(quiet=not launched_world().main)
        folder = Path(options.cfg).parent
        for parameter, words in swept.items():
            if words is not None:
                values, rest = leading_numbers(words)
                sweep(load_config(options.cfg, [*rest, *options.overrides]), folder, parameter, values, options.gpus)
                return
        validate(load_config(options.cfg, options.overrides), folder, options.gpus)

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
