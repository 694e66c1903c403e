#!/usr/bin/env python3
"""Check every image of a data set before training, and report all errors at once.

    python tools/verify_dataset.py dataset/cifar10_lt/cifar10_im100_train.json dataset/cifar10_lt/cifar10_valid.json
    python tools/verify_dataset.py photos/
    python tools/verify_dataset.py train.json val.json --root /data/imagenet --workers 8 --json report.json

A data set is one annotation file per split, or own images: a folder of classes or of splits, or a list (.csv, .txt).
Every image must exist and decode completely. Labels must be in range, and every class must have images. An image must
be listed only once: duplicates (the same file, bytes or pixels) are reported; between splits they are leaks.
The report shows the first ten errors of each kind, with the index of the annotation; --json writes all of them.

Exit code: 0 no errors, 1 errors were found, 2 invalid command or annotation file.
"""

import json
import os
import sys
from pathlib import Path

from longtail.cli.program import Parser, run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and verify."""
    parser = Parser(__doc__ or "")
    parser.add_argument("sources", nargs="+", metavar="DATA", help="annotation file of each split, or own images")
    parser.add_argument(
        "--root", default="", help="folder of relative image paths; default: the folder of the annotation file"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read images; default: one per core")
    parser.add_argument("--json", metavar="REPORT", help="write the whole report to this file")
    options = parser.parse(arguments)
    errors = 0

    def program() -> None:
        nonlocal errors
        from tqdm import tqdm

        from longtail.data.inspect.verify import as_json, verify
        from longtail.data.inspect.verify_text import as_text
        from longtail.errors import UserError
        from longtail.files import atomic_write
        from longtail.processors import available_processors
        from longtail.user_files import check_path, is_folder, translating

        workers = available_processors() if options.workers is None else options.workers
        if workers < 0:
            raise UserError(f"--workers is {workers}; it must be at least 0 (0: no worker processes)")
        if options.root and not is_folder(options.root):
            raise UserError(f"--root {options.root} is not a folder")
        if options.json:  # checked before the images, which take long
            check_path(options.json, "--json")
            if is_folder(options.json) or not os.access(Path(options.json).parent, os.W_OK):
                raise UserError(f"--json {options.json} is a folder, or its folder does not exist or cannot be written")
        report = verify(
            options.sources,
            options.root,
            workers=workers,
            progress=lambda images, total: tqdm(images, total=total, unit="image", leave=False, disable=None),
        )
        print(as_text(report))
        errors = len(report.findings)
        if options.json:
            with translating(options.json, "--json"), atomic_write(options.json, "w") as file:
                json.dump(as_json(report), file, indent=1)
                file.write("\n")

    return run_program(program) or (1 if errors else 0)


if __name__ == "__main__":
    sys.exit(main())
