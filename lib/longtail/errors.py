"""Errors that are reported in one line, without a traceback."""

from collections.abc import Sequence

SHOWN = 10  # errors of one kind that are listed; more would scroll the first one away


class UserError(Exception):
    """An invalid input, reported in one line: what is wrong, where, and what is allowed.

    The entry points print it on standard error and exit with code 2. Every other exception is a bug of the software and
    keeps its traceback. Several errors of one file follow as a list, see `errors_in`.
    """


class MissingFile(UserError):
    """A file that a user names does not exist."""


class ProcessLost(Exception):
    """Another process of the run exited while this one was waiting for it; the entry points exit with code 1."""


def one_line(error: BaseException, most: int = 200) -> str:
    """Return the text of an error of a library in one line of at most `most` characters; its type if it has no text."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def errors_in(what: str, errors: Sequence[str], *, kind: str = "errors") -> UserError:
    """Return the error that reports the errors of one input: a single one in one line, else the first ten as a list.

    Args:
        what: Input, as "annotation file x.json".
        errors: Errors with their positions; at least one.
        kind: Plural noun for them.
    """
    if len(errors) == 1:
        return UserError(f"{what}: {errors[0]}")
    first = f", the first {SHOWN}" if len(errors) > SHOWN else ""
    return UserError("\n  ".join([f"{what}: {len(errors):,} {kind}{first}:", *errors[:SHOWN]]))
