"""What the entry points share: how errors and interruptions end a program."""

import sys
from collections.abc import Callable

from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError


def run_program(program: Callable[[], object]) -> int:
    """Run a program and return its exit code: 0; 2 after a `UserError`; 128 + number after a signal.

    A mistake of the user is told in one line on standard error; a fault of the software keeps its traceback.
    """
    try:
        program()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  (the one place that speaks to the user directly)
        return 2
    except Interrupted as interruption:
        print(interruption, file=sys.stderr)  # noqa: T201
        return 128 + interruption.signum
    except KeyboardInterrupt:
        print("stopped before training began; nothing was lost", file=sys.stderr)  # noqa: T201
        return 130
    return 0
