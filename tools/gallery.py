#!/usr/bin/env python3
"""Train the rows of docs/results.md that have no record yet, several at once, and record them.

    python tools/gallery.py cifar10_im100 --list
    python tools/gallery.py cifar10_im100 --seeds 42 43 44 --at-once 6
    python tools/gallery.py cifar10_im100_json --rows csce focal,drw --images "JPEG, quality 75" --minutes 60

DATA is the data set of a column. Each row is trained by `longtail train DATA,ROW`, all rows with the first seed before
the next seed; all configs are checked before the first training. The same command resumes: after an interruption, or
after --minutes, when all trainings save and stop. KEY VALUE applies to all trainings; a record with other settings does
not count for its row. --images only describes the images in the records: DATASET.TRAIN_JSON and DATASET.VALID_JSON name
other ones. Run `make docs` afterwards.

Exit code: 0 done, 1 a training failed, 2 invalid command, 128 + n stopped by signal n.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from longtail.cli.program import Parser, run_program
from longtail.errors import ProcessLost, UserError
from longtail.processors import available_cores
from tools.record import FOLDER, write_records

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results.yaml"


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and train what is missing."""
    parser = Parser(__doc__ or "")
    parser.add_argument(
        "data", metavar="DATA", help="short name of the data set, as cifar10_im100 or cifar10_im100_json"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="keys of the config to set, for all trainings"
    )
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="configs of the rows; default: all of the data set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42], help="train each row once per seed")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="trainings at the same time")
    parser.add_argument("--minutes", type=float, help="stop all trainings after this time")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu or 0; default: the first GPU, or the CPU")
    parser.add_argument("--images", default="", help="how the images differ from the data set; see tools/record.py")
    parser.add_argument("--list", action="store_true", help="print the trainings that are missing, and train nothing")
    parser.add_argument(
        "--output", type=Path, default=Path("output/gallery"), help="folder of run directories and logs"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the records; default: docs/records")
    return run_program(lambda: fill(parser.parse(arguments)))


def fill(options: argparse.Namespace) -> None:
    """Train what is missing, and record each training when it ends."""
    from tools.results_page import Training, missing_trainings, read_published, read_records
    from tools.side_by_side import run_side_by_side

    if options.at_once < 1:
        raise UserError(f"--at-once {options.at_once}: at least 1")
    records = read_records(options.folder) if options.folder.is_dir() else []
    chosen = {"rows": options.rows or (), "seeds": options.seeds, "images": options.images}
    missing = missing_trainings(read_published(RESULTS), records, data=options.data, **chosen)
    trainings = [Training(*pair, options.output, tuple(options.overrides)) for pair in missing]
    for each in trainings:
        each.check()
    for each in trainings:
        print("longtail", shlex.join(each.command), flush=True)
    if options.list:
        return
    gpus = ["--gpus", options.gpus] if options.gpus else []
    logs = {each.log: each for each in trainings}
    commands = {log: [sys.executable, "-m", "longtail", *each.command, *gpus] for log, each in logs.items()}
    failed, finished = [], 0
    side_by_side = run_side_by_side(
        commands,
        at_once=options.at_once,
        seconds=None if options.minutes is None else options.minutes * 60,
        environment=with_threads(options.at_once),
    )
    for log, code in side_by_side:
        if code:
            failed.append(str(log))
            print(f"{log}: exit code {code}: {last_line(log)}", flush=True)
        else:
            finished += 1
            write_records(logs[log].folder(), logs[log].config, images=options.images, folder=options.folder)
    stopped = finished + len(failed) < len(logs)
    print(
        f"{finished} of {len(logs)} trainings are finished{'; the same command resumes the others' if stopped else ''}"
    )
    if failed:
        raise ProcessLost(f"failed: {', '.join(failed)}")


def last_line(log: Path) -> str:
    """Return the last line of a log, which tells why a program has failed."""
    return (log.read_text(encoding="utf-8", errors="replace").splitlines() or [""])[-1]


def with_threads(at_once: int) -> dict[str, str]:
    """Return the environment of a training: each uses its share of the cores, unless OMP_NUM_THREADS is lower."""
    share = max(1, available_cores() // at_once)
    number = os.environ.get("OMP_NUM_THREADS", "")  # `run_program` has set it
    return {**os.environ, "OMP_NUM_THREADS": str(min(share, int(number)) if number.isdecimal() else share)}


if __name__ == "__main__":
    sys.exit(main())
