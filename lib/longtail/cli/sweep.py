"""Train a config with several seeds and values of keys, one run after another, and compare the runs.

    longtail sweep cifar10_im100,ce --seeds 0 1 2
    longtail sweep digits_lt,ce --seeds 0 1 2 --set LOSS.LOSS_TYPE CrossEntropy BalancedSoftmaxCE
    longtail sweep my_config.yaml TRAIN.MAX_EPOCH 20 --set TRAIN.OPTIMIZER.BASE_LR 0.1 0.05 --gpus 0
    longtail sweep digits_lt,ce --seeds 0 1 2 3 4 --low-priority

Every combination of the values is trained with every seed. KEY VALUE before the options applies to all runs. All
configs are checked before the first training. The same command resumes: finished runs are kept. At the end the table of
`longtail compare` is printed, whose baseline is the first combination.

--low-priority gives other programs priority: nice 19 and one thread. On Linux the autogroup of the terminal is set to
nice 19 as well, because the kernel would otherwise divide the processors evenly between terminals; this lasts until the
terminal is closed.

Exit code: 0 finished, 2 invalid command, config or data, 128 + n stopped by signal n.
"""

import argparse
import sys
from collections.abc import Sequence

from longtail.cli.own_images import with_own_images
from longtail.cli.program import Parser, place_for, run_program
from longtail.threads import lower_priority


def main(arguments: Sequence[str] | None = None, prog: str = "longtail sweep") -> int:
    """Parse the command line of `longtail sweep`, train and compare."""
    parser = Parser(__doc__ or "", prog)
    parser.add_argument(
        "config", metavar="CONFIG", help="YAML file or short names, joined by commas; or a folder of images"
    )
    parser.add_argument("--seeds", nargs="+", type=_seed, default=[], metavar="SEED", help="values of RAND_SEED")
    parser.add_argument(
        "--set",
        nargs="+",
        action="append",
        default=[],
        metavar="KEY VALUE",
        help="a key and its values; may be repeated",
    )
    parser.add_argument("--gpus", metavar="GPUS", help="cpu, 0 or 0,1; default: the first GPU, or the CPU")
    parser.add_argument("--low-priority", action="store_true", help="give other programs priority; use one thread")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the config to set, for all runs")
    options = parser.parse(arguments)

    def program() -> None:
        if options.low_priority:
            lower_priority()
        from longtail.comparing.sweep import sweep, sweep_configs

        settings = [(words[0], words[1:]) for words in options.set]
        swept = [key for key, _ in settings]
        source, overrides = with_own_images(options.config, options.overrides, swept)
        configs = sweep_configs(source, overrides, seeds=options.seeds, settings=settings)

        from longtail.comparing.compare import compare
        from longtail.comparing.tables import as_text
        from longtail.runs.console import log_to_terminal

        place = place_for(options.gpus)
        log_to_terminal(quiet=not place.main)
        runs = sweep(configs, source, place=place)
        if runs and place.main:
            sys.stdout.write("\n" + as_text(compare([str(run) for run in runs])))

    return run_program(program)


def _seed(text: str) -> int:
    """Return a seed."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a seed; KEY VALUE of all runs comes before --seeds and --set"
        )
    return int(text)
