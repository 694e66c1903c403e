"""List the short names of configs, with one line each.

    longtail list

`longtail train DATA,METHOD` trains a combination of the two (digits_lt,ncl); `longtail train DATA,RECIPE` runs a
recipe.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from longtail.cli.program import Parser, run_program
from longtail.config import short_names
from longtail.config.files import FOLDERS


def main(arguments: Sequence[str] | None = None, prog: str = "longtail list") -> int:
    """Parse the command line of `longtail list` and print the names."""
    Parser(__doc__ or "", prog).parse(arguments)
    return run_program(list_configs)


def list_configs() -> None:
    """Print the short names of every folder of configs/, with the description of each file."""
    for folder in FOLDERS:
        names = short_names((folder,))
        if not names:
            continue
        sys.stdout.write(f"{folder}:\n")
        width = max(map(len, names))
        for name, path in sorted(names.items()):
            sys.stdout.write(f"  {name:<{width}}  {describe(path)}\n")


def describe(path: Path) -> str:
    """Return the description of a config file: its first comment line that is not a command."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = line.lstrip("# ").rstrip()
        if text and not text.startswith(("bash ", "python ", "longtail ")):
            return text
    return ""
