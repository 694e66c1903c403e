"""Train a config, or the stages of a recipe.

    longtail train digits_lt,ncl
    longtail train cifar10_im100,ncl --gpus 0,1 TRAIN.BATCH_SIZE 128
    longtail train cifar10_im100,crt --gpus 0 baseline:TRAIN.MAX_EPOCH 100
    longtail train my_config.yaml --resume output/my_run/2026-01-31-12-00-00
    longtail train photos/ TRAIN.MAX_EPOCH 50

A config is a YAML file, or several joined by commas and merged from left to right; names without `.yaml` are looked up
under configs/ (`longtail list` prints them). For a folder of your own images (one folder per class, or train/ and val/
with such folders) or a list of images (.csv, .txt), the config is own,balanced_softmax.

The same command resumes a run that was stopped (Ctrl-C, SIGTERM, a crash); `--resume never` starts a new one. The run
directory is OUTPUT_DIR/NAME/<date-time>/. Those of the stages of a recipe are in OUTPUT_DIR/<recipe>/<stage>/, and
OUTPUT_DIR/<recipe>/summary.json summarizes them. KEY VALUE applies to all stages of a recipe, STAGE:KEY VALUE to one.

Exit code: 0 finished, 1 another process of the run has exited, 2 invalid command, config or data, 128 + n stopped by
signal n; the state is saved.
"""

import argparse
from collections.abc import Sequence

from longtail.cli.own_images import with_own_images
from longtail.cli.program import Parser, place_for, run_program


def main(arguments: Sequence[str] | None = None, prog: str = "longtail train") -> int:
    """Parse the command line of `longtail train` and train."""
    parser = Parser(__doc__ or "", prog)
    parser.add_argument("config", metavar="CONFIG", help="YAML file or short names, joined by commas")
    _add_options(parser)
    options = parser.parse(arguments)
    return run_program(lambda: run(options.config, options))


def script(documentation: str, arguments: Sequence[str] | None = None) -> int:
    """Parse the command line of main/train.py and train.

    Args:
        documentation: Help text.
        arguments: Words of the command line; None: those of the process.
    """
    parser = Parser(documentation)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--cfg", metavar="CONFIG", help="YAML file or short names, joined by commas")
    what.add_argument("--recipe", metavar="RECIPE", help="recipe: stages that build on each other")
    what.add_argument("--list", action="store_true", help="list the short names")
    _add_options(parser)
    options = parser.parse(arguments)
    if options.list:
        from longtail.cli import list_configs

        return list_configs.main([])
    return run_program(lambda: run(options.recipe or options.cfg, options))


def run(source: str, options: argparse.Namespace) -> None:
    """Train a config, or run a recipe."""
    from longtail.config import is_recipe, load_config

    source, overrides = with_own_images(source, options.overrides)
    recipe = is_recipe(source)
    cfg = None if recipe else load_config(source, overrides)  # a mistyped key is reported before torch is loaded

    from longtail.runs.console import log_to_terminal
    from longtail.stages.recipe import run_recipe
    from longtail.stages.run_config import run_config

    place = place_for(options.gpus)
    log_to_terminal(quiet=not place.main)
    if cfg is None:
        run_recipe(source, place=place, resume=options.resume, overrides=overrides)
    else:
        run_config(cfg, source, place=place, resume=options.resume)


def _add_options(parser: Parser) -> None:
    parser.add_argument("--gpus", metavar="GPUS", help="cpu, 0 or 0,1; default: the first GPU, or the CPU")
    parser.add_argument("--resume", default="auto", metavar="auto|never|PATH", help="what to resume; default: auto")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the config to set")
