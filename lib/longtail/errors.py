"""What is told in one line, never as a traceback: mistakes that a user can mend, and the loss of a process."""

from collections.abc import Sequence

SHOWN = 10  # faults of one kind that are listed; more would scroll away the first


class UserError(Exception):
    """A bad input, told in one line: what is wrong, where, and what is allowed.

    The entry points print it on standard error and exit with code 2. Everything else that is raised is a fault of
    the software and keeps its traceback. Several faults of one file follow as a list, see `faults_in`.
    """


class ProcessLost(Exception):
    """Another process of the run ended while this one was waiting for it; the entry points exit with code 1."""


def faults_in(what: str, faults: Sequence[str], kind: str = "faults") -> UserError:
    """Return the error that tells the faults of one input: a single one in one line, else the first ten as a list.

    Args:
        what: the input, "annotation file x.json".
        faults: each one with its position; at least one.
        kind: what several of them are called.
    """
    if len(faults) == 1:
        return UserError(f"{what}: {faults[0]}")
    first = f", the first {SHOWN}" if len(faults) > SHOWN else ""
    return UserError("\n  ".join([f"{what}: {len(faults):,} {kind}{first}:", *faults[:SHOWN]]))
