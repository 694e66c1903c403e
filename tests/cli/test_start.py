"""Which modules a command loads: help and errors must not wait for torch."""

import json
import os
import subprocess
import sys

import pytest

from longtail.cli.main import COMMANDS

HEAVY = ("torch", "timm", "matplotlib", "sklearn", "torchvision", "cv2")
CODE = """
import json, os, sys
from longtail.cli.main import main
try:
    code = main({words!r})
except SystemExit as stop:
    code = stop.code
print()
print(json.dumps([code, [name for name in {heavy!r} if name in sys.modules]]))
"""


def loaded(words: list[str]) -> tuple[int, list[str]]:
    """Run a command in a new process; return its exit code and the heavy packages that it has loaded."""
    code = CODE.format(words=words, heavy=HEAVY)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    exit_code, names = json.loads(run.stdout.splitlines()[-1])
    return exit_code, names


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--help"], ["list"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_loads_no_torch(words: list[str]) -> None:
    assert loaded(words) == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["train", "digits_lt,ncl", "TRAIN.MAX_EPOHC", "3"],
        ["train", "digits_lt,nlc"],
        ["train", "digits_lt,ncl", "TRAIN.MAX_EPOCH", "many"],
        ["valid", "digits_lt,ncl", "TEST.MODEL_FLIE", "x"],
        ["info", "digits_lt,ce", "TRAIN.MAX_EPOC", "3"],
        ["tarin"],
    ],
)
def test_error_is_reported_without_torch(words: list[str]) -> None:
    assert loaded(words) == (2, [])


@pytest.mark.slow
def test_training_loads_no_plotting_before_the_first_step() -> None:
    packages = ("matplotlib", "sklearn", "cv2")
    code = f"import longtail.stages.run_config, sys; sys.exit(str([n for n in {packages} if n in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stderr.strip() == "[]"
