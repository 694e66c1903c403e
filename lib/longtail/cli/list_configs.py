"""longtail list: the short names of configs, with one line each."""

import sys
from pathlib import Path

from longtail.config import short_names
from longtail.config.files import FOLDERS


def list_configs() -> None:
    """Print the short names of every folder of configs/, with the second comment line of each file."""
    for folder in FOLDERS:
        names = short_names((folder,))
        if not names:
            continue
        sys.stdout.write(f"{folder}:\n")
        width = max(map(len, names))
        for name, path in sorted(names.items()):
            sys.stdout.write(f"  {name:<{width}}  {describe(path)}\n")


def describe(path: Path) -> str:
    """Return the sentence that says what a config file is: its first comment line that is not a command."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = line.lstrip("# ").rstrip()
        if text and not text.startswith(("bash ", "python ", "longtail ")):
            return text
    return ""
