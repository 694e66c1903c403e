"""How a command ends: exit codes, one line per error."""

import os
import signal
import subprocess
import sys

import pytest

from longtail.cli.program import Parser, leading_numbers, run_program
from longtail.engine.interrupts import Interrupted
from longtail.errors import ProcessLost, UserError


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("key X is wrong"), 2, "error: key X is wrong\n"),
        (UserError("a\x1b[0m\ud800 b\nc"), 2, r"error: a\x1b[0m\ud800 b\nc" + "\n"),
        (UserError("3 mistakes:\n  first\n  second"), 2, "error: 3 mistakes:\n  first\n  second\n"),
        (ProcessLost("process 1 has exited"), 1, "error: process 1 has exited\n"),
        (Interrupted(15, "it is saved"), 143, "stopped by SIGTERM; it is saved\n"),
        (Interrupted(2, "it is saved"), 130, "stopped by SIGINT; it is saved\n"),
    ],
)
def test_run_program_reports_an_error_in_one_line(
    error: Exception, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(lambda: fail(error)) == code
    assert capsys.readouterr() == ("", message)


def test_run_program_keeps_the_traceback_of_a_bug() -> None:
    with pytest.raises(ZeroDivisionError):
        run_program(lambda: fail(ZeroDivisionError()))


def test_run_program_restores_the_handler_of_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGINT)
    during: list[object] = []
    assert run_program(lambda: during.append(signal.getsignal(signal.SIGINT))) == 0
    assert signal.getsignal(signal.SIGINT) is before and during != [before]


def test_ctrl_c_while_there_is_nothing_to_save_is_one_word() -> None:
    code = "import os; from longtail.cli.program import run_program as run; run(lambda: os.kill(os.getpid(), 2))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert (ended.returncode, ended.stderr) == (130, "stopped\n")


def test_parser_refuses_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        Parser("help", "longtail x").parse(["--unknown"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: unrecognized arguments: --unknown; --help explains the command\n"


@pytest.mark.parametrize("value", ["-inf", "-nan", "-INF", "-0.5", "-1e-3"])
def test_parser_interprets_negative_numbers_as_values(value: str) -> None:
    parser = Parser("help", "longtail x")
    parser.add_argument("config")
    parser.add_argument("--gpus")
    parser.add_argument("--set", nargs="+", action="append")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse(["a", "KEY", value, "--gpus", "cpu", "OTHER", "1", "--set", "K", value, "--set", "L", "2"])
    assert (options.gpus, options.set) == ("cpu", [["K", value], ["L", "2"]])
    assert options.overrides == ["KEY", value, "OTHER", "1"]


def test_parser_accepts_negative_numbers_of_a_repeatable_option() -> None:
    parser = Parser("help", "longtail x")
    parser.add_argument("--set", nargs="+", action="append", default=[])
    assert parser.parse(["--set", "KEY", "-1", "--set", "OTHER", "-inf", "2"]).set == [
        ["KEY", "-1"],
        ["OTHER", "-inf", "2"],
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ([], [])),
        (["0", "0.5"], ([0.0, 0.5], [])),
        (["0", "KEY", "1"], ([0.0], ["KEY", "1"])),
        (["KEY", "1"], ([], ["KEY", "1"])),
        (["-1", "1e-3", "KEY", "2"], ([-1.0, 1e-3], ["KEY", "2"])),
    ],
)
def test_leading_numbers(words: list[str], expected: tuple[list[float], list[str]]) -> None:
    assert leading_numbers(words) == expected
