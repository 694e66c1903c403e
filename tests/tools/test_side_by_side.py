"""Programs side by side: how many at once, their logs and exit codes, the time limit and signals."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from longtail.engine.interrupts import Interrupted
from tools.side_by_side import run_side_by_side

# Prints and waits; on SIGTERM it takes a moment to save, as a training does.
SAVES = """
import signal, sys, time
def save(*_):
    time.sleep(0.3)
    print("saved", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("started", flush=True)
time.sleep(60)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_for(file: Path, text: str) -> None:
    for _ in range(200):
        if file.is_file() and text in file.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{file} has no {text}")


def test_every_command_has_its_log_and_exit_code(tmp_path: Path) -> None:
    logs = [tmp_path / "logs" / name for name in ("a", "b", "c")]
    commands = {log: python(f"import sys; print({index}); sys.exit({index})") for index, log in enumerate(logs)}
    assert sorted(run_side_by_side(commands, at_once=2)) == [(log, index) for index, log in enumerate(logs)]
    assert [log.read_text() for log in logs] == ["0\n", "1\n", "2\n"]
    assert len(list(run_side_by_side(commands, at_once=3))) == 3
    assert logs[0].read_text() == "0\n0\n"  # appended


def test_no_more_commands_than_allowed_run_at_the_same_time(tmp_path: Path) -> None:
    code = """
import pathlib, sys, time
mark = pathlib.Path(sys.argv[1]) / sys.argv[2]
mark.touch()
time.sleep(0.3)
print(len(list(mark.parent.iterdir())))
mark.unlink()
"""
    (tmp_path / "running").mkdir()
    commands = {tmp_path / str(index): [*python(code), str(tmp_path / "running"), str(index)] for index in range(5)}
    assert [code for _, code in run_side_by_side(commands, at_once=2)] == [0] * 5
    counts = [int(log.read_text()) for log in commands]
    assert max(counts) == 2


def test_commands_may_save_when_time_is_up(tmp_path: Path) -> None:
    commands = {tmp_path / name: python(SAVES) for name in ("a", "b")}
    assert list(run_side_by_side(commands, at_once=1, seconds=2)) == []
    assert (tmp_path / "a").read_text() == "started\nsaved\n"
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_commands_may_save_when_a_signal_arrives(tmp_path: Path, signum: signal.Signals) -> None:
    log = tmp_path / "a"

    def interrupt() -> None:
        wait_for(log, "started")
        os.kill(os.getpid(), signum)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted, match=f"stopped by {signum.name}; what was running is saved"):
        list(run_side_by_side({log: python(SAVES)}, at_once=1))
    thread.join()
    assert log.read_text() == "started\nsaved\n"


def test_the_terminal_does_not_signal_the_commands_itself(tmp_path: Path) -> None:
    log = tmp_path / "a"
    list(run_side_by_side({log: python("import os; print(os.getsid(0) == os.getpid())")}, at_once=1))
    assert (
        log.read_text() == "True\n"
    )  # otherwise Ctrl-C would arrive twice, and the second one ends a training at once
