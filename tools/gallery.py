#!/usr/bin/env python3
"""Write docs/gallery.md: every trick, its configuration, the published error and our own from run directories.

    python tools/gallery.py
    python tools/gallery.py --runs output/night1 output/night2
    python tools/gallery.py --check

Texts and published numbers come from docs/gallery.yaml. Runs are found by NAME below the given folders; one whose
settings are not those of its file is listed apart, with what differs.

Exit code: 0 done, 1 with --check: the page is not what would be written, our own results aside, 2 a mistake.
"""

import argparse
import sys
from pathlib import Path

from longtail.engine.command_line import run_program

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "gallery.md"


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", default=[], metavar="DIR", help="folders of run directories")
    parser.add_argument("--page", type=Path, default=PAGE, help="the file to write or check; default: docs/gallery.md")
    parser.add_argument("--check", action="store_true", help="write nothing; say whether the page is up to date")
    options = parser.parse_args(arguments)
    stale = False

    def program() -> None:
        nonlocal stale
        from longtail.engine.console import log_to_terminal
        from longtail.gallery import read_gallery, read_runs, same_but_for_results, write_page

        from longtail.errors import UserError
        from longtail.files import atomic_write

        log_to_terminal()
        gallery = read_gallery(ROOT)
        if options.check:
            there = options.page.read_text(encoding="utf-8") if options.page.is_file() else ""
            stale = not same_but_for_results(there, write_page(gallery))
            print(f"{options.page}: {'not up to date; run tools/gallery.py' if stale else 'up to date'}")
            return
        for folder in options.runs:
            if not Path(folder).is_dir():
                raise UserError(f"--runs {folder} is no folder")
        outcomes = [outcome for folder in options.runs for outcome in read_runs(Path(folder))]
        with atomic_write(options.page, "w") as file:
            file.write(write_page(gallery, outcomes))
        print(f"{options.page}: {len(outcomes)} finished runs")

    return run_program(program) or int(stale)


if __name__ == "__main__":
    sys.exit(main())
