"""Standard output whose reader has exited."""

import contextlib
import os
import select
import sys


def output_is_closed() -> bool:
    """Return whether standard output is a pipe whose reader has exited, as `head` does after its last line."""
    try:
        sys.stdout.flush()
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except BrokenPipeError:
        return True
    except (OSError, ValueError):  # not a file
        return False


def discard_output() -> None:
    """Discard what is written to standard output from now on, so that Python reports no error when it exits."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: not a file, or closed
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
