"""Common part of the commands: how errors and interruptions end a program."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from longtail.errors import ProcessLost, UserError


def run_program(program: Callable[[], object]) -> int:
    """Run a program and return its exit code: 0; 1 after a `ProcessLost`, 2 after a `UserError`, 128 + signal number.

    A mistake of the user is reported in one line on standard error; a bug of the software keeps its traceback.
    """
    previous = signal.signal(signal.SIGINT, _exit_at_once)
    try:
        program()
    except UserError as error:
        _print(f"error: {error}")
        return 2
    except ProcessLost as error:
        _print(f"error: {error}")
        return 1
    except Exception as error:
        signum = getattr(error, "signum", None)  # of `Interrupted`, whose module would load torch
        if signum is None:
            raise
        _print(str(error))
        return int(128 + signum)
    finally:
        signal.signal(signal.SIGINT, previous)
    return 0


def leading_numbers(words: Sequence[str]) -> tuple[list[float], list[str]]:
    """Split what follows an option into the numbers that it takes and the KEY VALUE pairs after them."""
    for index, word in enumerate(words):
        try:
            float(word)
        except ValueError:
            return [float(number) for number in words[:index]], list(words[index:])
    return [float(number) for number in words], []


def _exit_at_once(signum: int, frame: FrameType | None) -> None:
    """End the process while there is nothing to save; an exception inside an import could surface as another one."""
    _print("stopped")
    os._exit(128 + signum)


def _print(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
