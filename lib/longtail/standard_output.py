"""Standard output that nobody reads any more."""

import contextlib
import os
import select
import sys


def output_is_closed() -> bool:
    """Return whether standard output is a pipe whose reader has ended, as `head` does."""
    try:
        sys.stdout.flush()
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except BrokenPipeError:
        return True
    except (OSError, ValueError):  # it is no file
        return False


def discard_output() -> None:
    """Discard what is written to standard output from now on, so that Python does not complain when it ends."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: it is no file, or closed
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
