"""What the entry points share: how errors and interruptions end a program."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from longtail.engine.interrupts import Interrupted
from longtail.errors import ProcessLost, UserError


def run_program(program: Callable[[], object]) -> int:
    """Run a program and return its exit code: 0; 1 after a `ProcessLost`, 2 after a `UserError`, 128 + signal number.

    A mistake of the user is told in one line on standard error; a fault of the software keeps its traceback.
    """
    previous = signal.signal(signal.SIGINT, _end_at_once)
    try:
        program()
    except UserError as error:
        _tell(f"error: {error}")
        return 2
    except ProcessLost as error:
        _tell(f"error: {error}")
        return 1
    except Interrupted as interruption:
        _tell(str(interruption))
        return 128 + interruption.signum
    finally:
        signal.signal(signal.SIGINT, previous)
    return 0


def _end_at_once(signum: int, frame: FrameType | None) -> None:
    """End the process where there is nothing to save; an exception inside an import could come out as another one."""
    _tell("stopped")
    os._exit(128 + signum)


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
