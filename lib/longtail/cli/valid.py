"""longtail valid: evaluate a trained network."""

import argparse
from collections.abc import Sequence

from longtail.cli.program import leading_numbers, run_program


def main(documentation: str, arguments: Sequence[str] | None = None) -> int:
    """Parse the command line of main/valid.py and evaluate.

    Args:
        documentation: Help text.
        arguments: Words of the command line; None: those of the process.
    """
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", required=True, metavar="RUN/config.yaml", help="config of the run")
    add_options(parser)
    options = parser.parse_intermixed_args(arguments)
    return run_program(lambda: run(options.cfg, options))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that main/valid.py and `longtail valid` share."""
    parser.add_argument("--gpus", metavar="GPUS", help="cpu or 0; default: the first GPU, or the CPU")
    sweeps = parser.add_mutually_exclusive_group()
    for name in ("tau", "logit-adjustment"):
        sweeps.add_argument(f"--{name}-sweep", nargs="*", metavar="STRENGTH", help="default: a grid")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the config to set")


def run(source: str, options: argparse.Namespace) -> None:
    """Evaluate, or sweep a strength."""
    from longtail.config import find_config, load_config

    swept = {"tau": options.tau_sweep, "logit_adjustment": options.logit_adjustment_sweep}
    parameter = next((name for name, words in swept.items() if words is not None), None)
    values, rest = leading_numbers(swept[parameter]) if parameter else ([], [])
    cfg = load_config(source, [*rest, *options.overrides])
    folder = find_config(source).parent

    from longtail.distributed import find_place
    from longtail.runs.console import log_to_terminal
    from longtail.stages.evaluate import validate
    from longtail.stages.sweep import sweep

    place = find_place(options.gpus)
    log_to_terminal(quiet=not place.main)
    if parameter:
        sweep(cfg, folder, parameter, place=place, values=values)
    else:
        validate(cfg, folder, place=place)
