"""longtail: the command, with one subcommand per task."""

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from longtail.errors import UserError
from longtail.registry import nearest

USAGE = """usage: longtail COMMAND ...

Train and evaluate image classifiers on long-tailed data.

{commands}

longtail COMMAND --help explains a command. Exit code: 0 finished, 1 another process of the run has exited, 2 invalid
command, config or data, 128 + n stopped by signal n.
"""


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        module: Module under longtail.cli that has `main(arguments) -> exit code`.
        help: One line of help.
    """

    module: str
    help: str


COMMANDS = {
    "train": Command("train", "train a config, or run a recipe"),
    "recipe": Command("train", "run a recipe: the same as train"),
    "valid": Command("valid", "evaluate a trained network"),
    "predict": Command("predict", "predict the classes of images: CSV or JSON"),
    "info": Command("info", "show settings, network size and training time of a config"),
    "export": Command("export", "write a trained network as safetensors, TorchScript, torch.export or ONNX"),
    "compare": Command("compare", "compare finished runs over their seeds"),
    "sweep": Command("sweep", "train a config with several seeds and values of keys, and compare"),
    "pack": Command("pack", "write smaller copies of the images of a data set"),
    "report": Command("report", "write a report of finished runs: one HTML page"),
    "list": Command("list_configs", "list the short names of configs"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0 if words else 2
    if words[0] == "--version":
        from longtail import __version__

        sys.stdout.write(f"longtail {__version__}\n")
        return 0
    name = words[0]
    if name not in COMMANDS:
        error = UserError(f"unknown command {name!r}; available: {', '.join(COMMANDS)}{nearest(name, COMMANDS)}")
        sys.stderr.write(f"error: {error}\n")
        return 2
    module = importlib.import_module(f"longtail.cli.{COMMANDS[name].module}")  # other commands are not imported
    return int(module.main(words[1:], prog=f"longtail {name}"))


def usage() -> str:
    """Return the help text."""
    width = max(map(len, COMMANDS))
    return USAGE.format(commands="\n".join(f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()))
