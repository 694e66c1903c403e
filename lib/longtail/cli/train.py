"""longtail train: train a config, or the stages of a recipe."""

import argparse
from collections.abc import Sequence

from longtail.cli.program import run_program


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that main/train.py and `longtail train` share."""
    parser.add_argument("--gpus", metavar="GPUS", help="cpu, 0 or 0,1; default: the first GPU, or the CPU")
    parser.add_argument("--resume", default="auto", metavar="auto|never|PATH", help="what to resume; default: auto")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the config to set")


def main(documentation: str, arguments: Sequence[str] | None = None) -> int:
    """Parse the command line of main/train.py and train.

    Args:
        documentation: Help text.
        arguments: Words of the command line; None: those of the process.
    """
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--cfg", metavar="CONFIG", help="YAML file, or short names joined by commas")
    what.add_argument("--recipe", metavar="RECIPE", help="recipe file, several trainings that build on each other")
    what.add_argument("--list", action="store_true", help="list the short names")
    add_options(parser)
    options = parser.parse_intermixed_args(arguments)
    if options.list:
        from longtail.cli.list_configs import list_configs

        return run_program(list_configs)
    source = options.recipe or options.cfg
    return run_program(lambda: run(source, options, recipe=bool(options.recipe)))


def run(source: str, options: argparse.Namespace, *, recipe: bool) -> None:
    """Train a config or run a recipe; without a doubt about the config, before torch is loaded."""
    from longtail.config import find_config, load_config

    if not recipe:
        load_config(source, options.overrides)  # a mistyped key is reported before torch is loaded

    from longtail.distributed import find_place
    from longtail.runs.console import log_to_terminal
    from longtail.stages.recipe import run_recipe
    from longtail.stages.run_config import run_config

    place = find_place(options.gpus)
    log_to_terminal(quiet=not place.main)
    if recipe:
        path = str(find_config(source))
        run_recipe(path, place=place, resume=options.resume, overrides=options.overrides)
        return
    run_config(load_config(source, options.overrides), source, place=place, resume=options.resume)
