"""Several programs at once, each with its own log; all are asked to stop when time is up or a signal arrives."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from longtail.engine.interrupts import Interrupted, Interrupts

POLL = 0.2  # seconds


def run_side_by_side(
    commands: Mapping[Path, list[str]],
    *,
    at_once: int,
    seconds: float | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[tuple[Path, int]]:
    """Run commands, and yield the log and exit code of each one that ends by itself.

    Args:
        commands: Log file, to which the output is appended -> command. Started in their order.
        at_once: Number of commands that run at the same time.
        seconds: Time after which those that run are asked to stop with SIGTERM, and no more are started; None: never.
        environment: Environment of the commands.

    Raises:
        Interrupted: This process received a signal; the commands were asked to stop and have ended.
    """
    waiting, running = list(commands.items()), dict[Path, subprocess.Popen[bytes]]()
    end = None if seconds is None else time.monotonic() + seconds
    with Interrupts() as signals:
        try:
            while (waiting or running) and not signals.received and (end is None or time.monotonic() < end):
                while waiting and len(running) < at_once:
                    log, command = waiting.pop(0)
                    running[log] = _start(command, log, environment)
                for log, process in list(running.items()):
                    if process.poll() is not None:
                        del running[log]
                        yield log, process.returncode
                time.sleep(POLL)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()
        if signals.received:
            raise Interrupted(signals.received, "what was running is saved; the same command resumes")


def _start(command: list[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own: Ctrl-C reaches it once, through this process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
