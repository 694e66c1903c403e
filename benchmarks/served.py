"""A process that works on request, for programs that take turns."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ANSWER = "answer "  # starts the lines of replies; other lines are printed by libraries


def environment() -> dict[str, str]:
    """Return the environment of this process, in which Python finds this library first."""
    paths = [str(ROOT / "lib"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class Served:
    """A process that does its work and replies, for every line of input.

    Args:
        command: Words of the command; the process replies once when it is ready.
        environment: Its environment.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._answer()

    def ask(self) -> float:
        """Request the work, and return the reply, a number."""
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(ANSWER):
                return line.removeprefix(ANSWER)
        raise RuntimeError("a training process has ended")

    def close(self) -> None:
        """End the process and its children."""
        for number in family(self.process.pid):
            os.kill(number, 9)
        self.process.wait()


def answer(value: object) -> None:
    """Reply to the requesting process."""
    sys.stdout.write(f"{ANSWER}{value}\n")
    sys.stdout.flush()


def family(number: int) -> list[int]:
    """Return a process and its descendants."""
    children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    return [number, *(one for child in children for one in family(int(child)))]
