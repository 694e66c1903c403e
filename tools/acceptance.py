#!/usr/bin/env python3
"""Train short configs again and compare with the accuracies in acceptance.yaml.

    python tools/acceptance.py
    python tools/acceptance.py --make

--make writes acceptance.yaml from the records of the leaderboard, for the rows that tools/leaderboard.yaml marks;
nothing is trained.

Exit code: 0 all within their tolerances, 1 some are not, 2 invalid command or file.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from longtail.cli.program import Parser, run_program
from tools.small_runs import (
    check_again,
    expectations,
    read_expectations,
    read_rows,
    read_small_records,
    train_row,
    write_expectations,
)

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line; train and compare, or write the expectations."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--make", action="store_true", help="write the expectations from the records")
    parser.add_argument("--rows", type=Path, default=ROOT / "tools" / "leaderboard.yaml", help="file of the rows")
    parser.add_argument("--records", type=Path, default=ROOT / "docs" / "leaderboard", help="folder of the records")
    parser.add_argument("--expected", type=Path, default=ROOT / "acceptance.yaml", help="file of the expectations")
    parser.add_argument("--output", type=Path, default=Path("output/acceptance"), help="folder of the run directories")
    parser.add_argument("--seed", type=int, default=1, help="seed of the trainings")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu or 0; default: the first GPU, or the CPU")
    options = parser.parse(arguments)
    failed: list[object] = []

    def program() -> None:
        rows = read_rows(options.rows)
        if options.make:
            write_expectations(expectations(rows.rows, read_small_records(options.records)), options.expected)
            return
        failed.extend(
            check_again(
                {row.name: row for row in rows.rows},
                read_expectations(options.expected),
                train=lambda row: train_row(
                    row, options.seed, output=options.output, gpus=options.gpus, resume="never"
                ),
            )
        )
        print(f"{len(failed)} not met" if failed else "all met")

    return run_program(program) or int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
