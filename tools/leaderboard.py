#!/usr/bin/env python3
"""Train every method and recipe on Digits-LT, and write docs/leaderboard.md.

    python tools/leaderboard.py --seeds 1 2 3 4 5
    python tools/leaderboard.py ce ncl --seeds 1
    python tools/leaderboard.py ce --records /tmp/try --page /tmp/try.md --set TRAIN.MAX_EPOCH 2

ROW is a row of tools/leaderboard.yaml; without one, all rows are trained, seed by seed. Rows with a record are skipped,
interrupted ones are resumed. Records are small files in docs/leaderboard, from which the page is made.

Exit code: 0 done, 2 invalid command or file, 128 + n stopped by signal n.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from longtail.cli.program import Parser, run_program
from longtail.files import atomic_write
from tools.small_runs import Rows, leaderboard_page, read_rows, read_small_records, train_row, write_small_record

ROOT = Path(__file__).resolve().parent.parent
RECORDS, PAGE = ROOT / "docs" / "leaderboard", ROOT / "docs" / "leaderboard.md"


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and fill the leaderboard."""
    parser = Parser(__doc__ or "")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to train; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="train each row once per seed")
    parser.add_argument("--output", type=Path, default=Path("output/leaderboard"), help="folder of the run directories")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the records")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu or 0; default: the first GPU, or the CPU")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help="other settings, for a quick test")
    return run_program(lambda: fill(parser.parse(arguments)))


def fill(options: argparse.Namespace) -> None:
    """Train rows without a record, and write the page after each row."""
    from longtail.config import load_config
    from longtail.runs.console import log_to_terminal

    log_to_terminal()
    load_config(None, options.set)  # refuses unknown keys before anything is trained
    settings = dict(zip(options.set[::2], options.set[1::2], strict=True))
    listed = read_rows()
    rows = Rows(listed.data, listed.chosen([], settings), listed.left_out)
    wanted = listed.chosen(options.rows, settings)
    for seed in options.seeds:
        for row in wanted:
            done = (each for each in read_small_records(options.records) if each.seed == seed and each.is_of(row))
            if any(done):
                print(f"{row.name}, seed {seed}: has a record", flush=True)
                continue
            print(f"{row.name}, seed {seed}", flush=True)
            record = train_row(row, seed, output=options.output, gpus=options.gpus)
            write_small_record(record, options.records)
            with atomic_write(options.page, "w") as page:
                page.write(leaderboard_page(rows, read_small_records(options.records)))


if __name__ == "__main__":
    sys.exit(main())
