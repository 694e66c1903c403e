"""Evaluate a trained network: accuracy, shot groups, tables of classes, confusion matrices; per expert and ensemble.

    longtail valid output/digits_lt_ncl/2026-01-31-12-00-00
    longtail valid RUN --gpus cpu TEST.MODEL_FILE best_single.pth
    longtail valid RUN --split test
    longtail valid RUN DATASET.VALID_JSON other_images.json
    longtail valid cifar10_im100,ncl TEST.MODEL_FILE released/best_ensemble_model.pth
    longtail valid RUN TEST.TAU_NORM.USE_TAU_NORM True TEST.TAU_NORM.TAU 0.7
    longtail valid RUN --tau-sweep 0 0.25 0.5 0.75 1
    longtail valid RUN --logit-adjustment-sweep

RUN is a run directory (whose calibrated.yaml is used if there is one) or a config. Its best_ensemble.pth is evaluated,
unless TEST.MODEL_FILE names another checkpoint. The results are written to RUN/evaluation/<date-time>/; for a config
outside a run directory, to OUTPUT_DIR/NAME/evaluation/<date-time>/.

--split test evaluates test images: those of DATASET.TEST_JSON, or those that the training held out of your own images
(DATASET.HOLD_OUT.TEST, test/ or a list with a column `split`).

A sweep evaluates several strengths of tau-normalization or post-hoc logit adjustment in one pass over the images, and
writes a table (CSV) and a figure. A strength chosen on the images that are then reported overstates the result.

Exit code: 0 done, 2 invalid command, config or data.
"""

import argparse
from collections.abc import Sequence

from longtail.cli.program import Parser, leading_numbers, place_for, run_program


def main(arguments: Sequence[str] | None = None, prog: str = "longtail valid") -> int:
    """Parse the command line of `longtail valid` and evaluate."""
    parser = Parser(__doc__ or "", prog)
    parser.add_argument("config", metavar="RUN", help="run directory or config")
    _add_options(parser)
    options = parser.parse(arguments)
    return run_program(lambda: run(options.config, options))


def script(documentation: str, arguments: Sequence[str] | None = None) -> int:
    """Parse the command line of main/valid.py and evaluate.

    Args:
        documentation: Help text.
        arguments: Words of the command line; None: those of the process.
    """
    parser = Parser(documentation)
    parser.add_argument("--cfg", required=True, metavar="RUN", help="run directory or config")
    _add_options(parser)
    options = parser.parse(arguments)
    return run_program(lambda: run(options.cfg, options))


def run(source: str, options: argparse.Namespace) -> None:
    """Evaluate, or sweep a strength."""
    from longtail.config import load_config
    from longtail.runs.named import find_run

    swept = {"tau": options.tau_sweep, "logit_adjustment": options.logit_adjustment_sweep}
    parameter = next((name for name, words in swept.items() if words is not None), "")
    values, rest = leading_numbers(swept[parameter]) if parameter else ([], [])
    folder, config = find_run(source)
    cfg = load_config(config, [*rest, *options.overrides])

    from longtail.runs.console import log_to_terminal
    from longtail.stages.evaluate import validate
    from longtail.stages.sweep import sweep

    place = place_for(options.gpus)
    log_to_terminal(quiet=not place.main)
    if parameter:
        sweep(cfg, folder, parameter, place=place, values=values, split=options.split)
    else:
        validate(cfg, folder, place=place, split=options.split)


def _add_options(parser: Parser) -> None:
    parser.add_argument("--gpus", metavar="GPUS", help="cpu or 0; default: the first GPU, or the CPU")
    parser.add_argument(
        "--split", choices=("valid", "test"), default="valid", help="images to evaluate; default: valid"
    )
    sweeps = parser.add_mutually_exclusive_group()
    for name in ("tau", "logit-adjustment"):
        sweeps.add_argument(f"--{name}-sweep", nargs="*", metavar="STRENGTH", help="default: a grid")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the config to set")
