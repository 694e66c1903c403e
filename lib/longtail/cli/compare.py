"""Compare finished runs: mean and standard deviation over seeds, and the difference to a baseline.

    longtail compare output/
    longtail compare output/cifar10_im100_ce output/cifar10_im100_ncl --metrics top1 few balanced_accuracy
    longtail compare output/ --baseline cifar10_im100_ce --format latex --output table.tex
    longtail compare output/ --figure comparison.png

RUN is a run directory or a folder of runs. Runs whose configs differ only in RAND_SEED are one line; of several runs
with the same seed, the newest is used. The difference to the baseline (the group of the first run, or --baseline) is
paired by seed and has a 95 % bootstrap interval. Runs that were evaluated on different images are refused.

Exit code: 0 done, 2 invalid command, or runs that cannot be compared.
"""

import sys
from collections.abc import Sequence

from longtail.cli.program import Parser, run_program

FORMATS = ("text", "csv", "md", "latex")


def main(arguments: Sequence[str] | None = None, prog: str = "longtail compare") -> int:
    """Parse the command line of `longtail compare` and compare."""
    parser = Parser(__doc__ or "", prog)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories or folders of runs")
    parser.add_argument(
        "--baseline", default="", metavar="LABEL", help="group to compare with; default: that of the first run"
    )
    parser.add_argument("--metrics", nargs="+", metavar="NAME", help="default: top1 many medium few")
    parser.add_argument("--evaluation", choices=("last", "best"), default="last", help="default: last")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--output", metavar="FILE", help="default: standard output")
    parser.add_argument("--figure", metavar="FILE", help="draw the metrics, with error bars, into a .png file")
    options = parser.parse(arguments)

    def program() -> None:
        from longtail.comparing.compare import METRICS, compare
        from longtail.comparing.figure import check_figure, plot_comparison
        from longtail.comparing.tables import FORMATS as WRITERS
        from longtail.files import atomic_write
        from longtail.user_files import translating

        if options.figure:
            check_figure(options.figure)
        metrics, moment = options.metrics or METRICS, options.evaluation
        comparison = compare(options.runs, baseline=options.baseline, metrics=metrics, moment=moment)
        text = WRITERS[options.format](comparison)
        if options.output:
            with translating(options.output, "table"), atomic_write(options.output, "w") as file:
                file.write(text)
        else:
            sys.stdout.write(text)
        if options.figure:
            plot_comparison(options.figure, comparison)
            sys.stderr.write(f"figure in {options.figure}\n")
        if comparison.skipped and options.format != "text":
            sys.stderr.write(f"not finished, skipped: {', '.join(comparison.skipped)}\n")

    return run_program(program)
