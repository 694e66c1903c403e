"""Standard output whose reader has exited: the program ends as by SIGPIPE, a run continues."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "lib"
HEAD = "import logging, sys\nfrom longtail.cli.program import run_program\n"
PROGRAMS = {
    "prints": HEAD + "sys.exit(run_program(lambda: sys.stdout.write('a line\\n' * 100_000)))",
    "prints little": HEAD + "sys.exit(run_program(lambda: sys.stdout.write('a line\\n')))",
    "logs": HEAD
    + "from longtail.runs.console import log_to_terminal\nlog_to_terminal()\n"
    + "sys.exit(run_program(lambda: [logging.getLogger('longtail').info('a line') for _ in range(1000)]))",
}


def run(program: str, output: int) -> tuple[int, str]:
    """Run a program with a standard output; return exit code and standard error."""
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY), "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-c", PROGRAMS[program]]
    ended = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, env=environment, text=True, check=False)
    return ended.returncode, ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("program", "code"), [("prints", 128 + signal.SIGPIPE), ("prints little", 0), ("logs", 0)])
def test_program_ends_quietly_when_nobody_reads(program: str, code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert run(program, writer) == (code, "")
    os.close(writer)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_log_on_a_full_disk_does_not_end_the_program() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    assert run("logs", full) == (0, "standard output can no longer be written: No space left on device\n")
    os.close(full)
