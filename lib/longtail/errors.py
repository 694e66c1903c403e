"""Errors that are reported in one line, without a traceback."""

from collections.abc import Sequence

SHOWN = 10  # faults of one kind that are listed; more would scroll the first one away


class UserError(Exception):
    """An invalid input, reported in one line: what is wrong, where, and what is allowed.

    The entry points print it on standard error and exit with code 2. Every other exception is a bug of the software and
    keeps its traceback. Several faults of one file follow as a list, see `faults_in`.
    """


class ProcessLost(Exception):
    """Another process of the run exited while this one was waiting for it; the entry points exit with code 1."""


def faults_in(what: str, faults: Sequence[str], *, kind: str = "faults") -> UserError:
    """Return the error that reports the faults of one input: a single one in one line, else the first ten as a list.

    Args:
        what: Input, as "annotation file x.json".
        faults: Faults with their positions; at least one.
        kind: Plural noun for them.
    """
    if len(faults) == 1:
        return UserError(f"{what}: {faults[0]}")
    first = f", the first {SHOWN}" if len(faults) > SHOWN else ""
    return UserError("\n  ".join([f"{what}: {len(faults):,} {kind}{first}:", *faults[:SHOWN]]))
