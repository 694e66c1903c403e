#!/usr/bin/env python3
"""Write records of runs to docs/records, from which docs/results.md is made.

    python tools/record.py cifar10_im100,ce output/cifar10_im100_ce/2026-01-31-12-00-00
    python tools/record.py cifar10_im100_json,crt output/cifar10_im100_json_crt --images "JPEG, quality 75"

CONFIG is the composition that was trained. RUN is a run directory, or the folder of a recipe: every stage that trains
or evaluates is recorded. A run that is not finished is recorded with the epoch that it reached. Run `make docs`
afterwards.

Exit code: 0 done, 2 invalid command or run.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from longtail.cli.program import Parser, run_program
from longtail.files import atomic_write

if TYPE_CHECKING:
    from tools.results_page import Record

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "records"


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the records."""
    parser = Parser(__doc__ or "")
    parser.add_argument("config", help="composition of data and method, or of data and recipe")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories, or folders of recipes")
    parser.add_argument(
        "--images", default="", help='how the images differ from the data set, for example "JPEG, quality 75"'
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write; default: docs/records")
    options = parser.parse(arguments)

    def program() -> None:
        for path in options.runs:
            write_records(path, options.config, images=options.images, folder=options.folder)

    return run_program(program)


def write_records(path: Path, config: str, *, images: str, folder: Path = FOLDER) -> None:
    """Write the records of a run directory, or of the folder of a recipe, and print their files.

    Args:
        path: Run directory or folder.
        config: Composition that was trained.
        images: How the images differ from the data set.
        folder: Where to write.

    Raises:
        UserError: A run cannot be recorded.
    """
    from tools.results_page import records_of

    for record in records_of(path, config, images=images):
        write_record(record, folder)


def write_record(record: "Record", folder: Path) -> None:
    """Write a record into a folder, and print its file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = file_of(record, folder)
    with atomic_write(file, "w") as opened:
        opened.write(record.to_json())
    state = "finished" if record.finished else f"epoch {record.reached} of {record.epochs}"
    print(f"{file}: {state}", flush=True)


def file_of(record: "Record", folder: Path) -> Path:
    """Return where to write a record: over an older one of the same run, never over that of another run."""
    file = folder / record.file
    if not file.is_file() or json.loads(file.read_text(encoding="utf-8")).get("began") == record.began:
        return file
    return file.with_stem(f"{file.stem}-{record.began}")


if __name__ == "__main__":
    sys.exit(main())
