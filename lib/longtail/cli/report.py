"""Write a report of finished runs: one HTML page that opens in any browser, also offline.

    longtail report output/digits_lt_ncl/2026-01-31-12-00-00
    longtail report RUN --evaluate
    longtail report RUN RUN --output comparison.html
    longtail report RUN --figures

RUN is a run directory. The page shows learning curves, accuracy by class and by class size, the confusion matrix, the
most confused classes, the worst mistakes, experts, calibration, config and environment; several runs are shown side by
side. The report of one run is written to RUN/report.html, that of several to report.html in the current folder.
Classes, mistakes and calibration come from the newest evaluation: run `longtail valid RUN`, or use --evaluate.

--figures redraws the PNG figures in RUN/figures instead.

Exit code: 0 done, 2 invalid command, config or data.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from longtail.cli.program import Parser, place_for, run_program
from longtail.errors import UserError


def main(arguments: Sequence[str] | None = None, prog: str = "longtail report") -> int:
    """Parse the command line of `longtail report` and write the page."""
    parser = Parser(__doc__ or "", prog)
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run directory")
    parser.add_argument("--output", metavar="FILE", help="HTML file to write")
    parser.add_argument("--figures", action="store_true", help="redraw RUN/figures instead")
    parser.add_argument("--no-images", action="store_true", help="omit the images of the worst mistakes")
    parser.add_argument("--evaluate", action="store_true", help="first evaluate the runs that have no evaluation")
    parser.add_argument("--gpus", metavar="GPUS", help="for --evaluate: cpu or 0; default: the first GPU, or the CPU")
    options = parser.parse(arguments)
    return run_program(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Write the report, or draw the figures."""
    if options.figures and options.output:
        raise UserError("--figures writes to the run directories and cannot be combined with --output")
    from longtail.reporting import describe_run, read_run, redraw_figures, write_page

    records = [read_run(path) for path in options.runs]
    if options.evaluate:
        for record in records:
            if record.evaluation is None:
                _evaluate(record.run.path, options.gpus)
        records = [read_run(path) for path in options.runs]
    if options.figures:
        for record in records:
            for file in redraw_figures(record):
                sys.stdout.write(f"{file}\n")
        return
    single = Path(options.runs[0]) / "report.html"
    output = Path(options.output) if options.output else single if len(records) == 1 else Path("report.html")
    write_page(output, [describe_run(record, images=not options.no_images) for record in records])
    sys.stdout.write(f"{output}\n")


def _evaluate(run: Path, gpus: str | None) -> None:
    from longtail.config import load_config
    from longtail.runs.console import log_to_terminal
    from longtail.runs.named import find_run
    from longtail.stages.evaluate import validate

    log_to_terminal()
    validate(load_config(find_run(run)[1]), run, place=place_for(gpus))
