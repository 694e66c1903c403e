#!/usr/bin/env python3
"""Train what a YAML file describes, or the stages of a recipe one after the other.

    python main/train.py --cfg configs/digits_lt/ncl.yaml
    python main/train.py --cfg configs/cifar10_lt/im100/ncl.yaml --gpus 0,1 TRAIN.BATCH_SIZE 128
    python main/train.py --cfg configs/cifar10_lt/im100/ncl.yaml --resume output/cifar10_im100_ncl/2026-01-31-12-00-00
    torchrun --nproc_per_node 4 main/train.py --cfg configs/cifar10_lt/im100/ncl.yaml --gpus 0,1,2,3
    python main/train.py --recipe configs/cifar10_lt/im100/recipes/crt.yaml --gpus 0 baseline:TRAIN.MAX_EPOCH 100

The same command continues a run that was stopped (Ctrl-C, SIGTERM, a crash); `--resume never` starts a new one. The
run directory is OUTPUT_DIR/NAME/<date-time>/; a recipe's stages have theirs in OUTPUT_DIR/<recipe>/<stage>/, and
OUTPUT_DIR/<recipe>/summary.json sums them up. KEY VALUE holds for all stages of a recipe, STAGE:KEY VALUE for one.

Exit code: 0 finished, 2 a mistake in the command, configuration or data, 128 + number stopped by a signal.
"""

import argparse
import sys

from longtail.engine.command_line import run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--cfg", metavar="YAML", help="configuration file")
    what.add_argument("--recipe", metavar="YAML", help="recipe file, several trainings that build on each other")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu, 0 or 0,1; default: the first GPU, or the CPU")
    parser.add_argument("--resume", default="auto", metavar="auto|never|PATH", help="what to continue; default: auto")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the configuration to set")
    options = parser.parse_intermixed_args(arguments)

    def program() -> None:
        from longtail.config import load_config
        from longtail.engine.console import log_to_terminal
        from longtail.engine.distributed import launched_world
        from longtail.engine.recipe import run_recipe
        from longtail.engine.stage import run_stage

        log_to_terminal(quiet=not launched_world().main)
        if options.recipe:
            run_recipe(options.recipe, options.gpus, options.resume, options.overrides)
            return
        run_stage(load_config(options.cfg, options.overrides), options.cfg, options.gpus, options.resume)

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
