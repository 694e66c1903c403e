"""Commands start without torch, so that help and mistakes are answered at once."""

import os
import subprocess
import sys
from pathlib import Path

from longtail.cli.main import COMMANDS

LIB = Path(__file__).resolve().parents[2] / "lib"
PROGRAM = """
import sys
from longtail.cli.main import COMMANDS, main
for name in COMMANDS:
    try:
        main([name, "--help"])
    except SystemExit as error:
        assert error.code == 0, name
    assert "torch" not in sys.modules, name
assert main(["train", "digits_lt,ce", "TRAIN.MAX_EPOC", "3"]) == 2
assert main(["info", "digits_lt,ce", "TRAIN.MAX_EPOC", "3"]) == 2
assert "torch" not in sys.modules
"""


def test_help_of_every_command_and_a_mistyped_key_do_not_load_torch() -> None:
    environment = {**os.environ, "PYTHONPATH": str(LIB)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert f"usage: longtail {name}" in done.stdout
    assert done.stderr.count("did you mean TRAIN.MAX_EPOCH") == 2
