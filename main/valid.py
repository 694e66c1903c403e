#!/usr/bin/env python3
"""Judge a trained network: accuracy, shot groups, per-class tables, confusion matrices, per expert and ensemble.

    python main/valid.py --cfg output/digits_ncl/2026-01-31-12-00-00/config.yaml
    python main/valid.py --cfg RUN/config.yaml --gpus cpu TEST.MODEL_FILE best_single.pth
    python main/valid.py --cfg RUN/config.yaml DATASET.VALID_JSON other_images.json
    python main/valid.py --cfg configs/cifar10_lt/im100/ncl.yaml TEST.MODEL_FILE released/best_ensemble_model.pth

Judges best_ensemble.pth of the run directory that holds the YAML file, unless TEST.MODEL_FILE names another. Writes
RUN/evaluation/<date-time>/; for a YAML file outside a run directory OUTPUT_DIR/NAME/evaluation/<date-time>/.

Exit code: 0 done, 2 a mistake in the command, configuration or data.
"""

import argparse
import sys
from pathlib import Path

from longtail.engine.command_line import run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", required=True, metavar="RUN/config.yaml", help="configuration of the run")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu or 0; default: the first GPU, or the CPU")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the configuration to set")
    options = parser.parse_intermixed_args(arguments)

    def program() -> None:
        from longtail.config import load_config
        from longtail.engine.console import log_to_terminal
        from longtail.engine.judging import validate

        log_to_terminal()
        validate(load_config(options.cfg, options.overrides), Path(options.cfg).parent, options.gpus)

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
