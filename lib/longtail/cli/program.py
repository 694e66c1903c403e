"""Common part of the commands: argument parsing, and exit codes after errors and interruptions."""

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from longtail.errors import ProcessLost, UserError
from longtail.standard_output import discard_output, output_is_closed
from longtail.threads import set_threads, use_threads

if TYPE_CHECKING:
    from longtail.distributed import Place


class Parser(argparse.ArgumentParser):
    """A parser that reports an invalid command in one line, and accepts numbers such as `-1e-3` and `-inf` as values.

    Args:
        documentation: Help text.
        prog: Name of the command; None: that of the script.
    """

    def __init__(self, documentation: str, prog: str | None = None) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, description=documentation, formatter_class=formatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Report an invalid command and exit with code 2."""
        message = message.replace(", KEY VALUE", "")  # the overrides are never required
        _print(f"error: {message}; --help explains the command")
        sys.exit(2)

    def parse(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Return the options; positional arguments may be anywhere between them."""
        words = sys.argv[1:] if arguments is None else arguments
        # argparse treats a word with a blank as a value, even if it begins with "-".
        spaced = [f" {word}" if word.startswith("-") and _is_number(word) else word for word in words]
        added = set(spaced) - set(words)
        options = self.parse_intermixed_args(spaced)
        for name, value in vars(options).items():
            setattr(options, name, _without_blank(value, added))
        return options


def _without_blank(value: Any, added: set[str]) -> Any:
    """Return the value of an option, a word or nested lists of words, without the blanks that were added."""
    if isinstance(value, list):
        return [_without_blank(item, added) for item in value]
    return value[1:] if isinstance(value, str) and value in added else value


def place_for(gpus: str | None) -> "Place":
    """Return the place of `--gpus`, see `longtail.distributed.find_place`, with as many threads as the load allows."""
    from longtail import distributed

    use_threads()
    return distributed.find_place(gpus)


def run_program(program: Callable[[], object]) -> int:
    """Run a program and return its exit code: 0; 1 after a `ProcessLost`, 2 after a `UserError`, 128 + signal number.

    A `UserError` is reported in one line on standard error; a bug keeps its traceback. If the reader of standard output
    has exited (`head`), the exit code is that of SIGPIPE.
    """
    set_threads()  # before the program loads torch
    previous = signal.signal(signal.SIGINT, _exit_at_once)
    try:
        program()
        if output_is_closed():
            discard_output()
    except UserError as error:
        _print(f"error: {error}")
        return 2
    except ProcessLost as error:
        _print(f"error: {error}")
        return 1
    except BrokenPipeError:
        if not output_is_closed():  # another pipe
            raise
        discard_output()
        return 128 + signal.SIGPIPE
    except Exception as error:
        signum = getattr(error, "signum", None)  # set by `Interrupted`; importing that class would load torch
        if signum is None:
            raise
        _print(str(error))
        return int(128 + signum)
    finally:
        signal.signal(signal.SIGINT, previous)
    return 0


def leading_numbers(words: Sequence[str]) -> tuple[list[float], list[str]]:
    """Split the words after an option into its numbers and the KEY VALUE pairs after them."""
    count = next((index for index, word in enumerate(words) if not _is_number(word)), len(words))
    return [float(number) for number in words[:count]], list(words[count:])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _exit_at_once(signum: int, frame: FrameType | None) -> None:
    """End the process at once, as there is nothing to save; an exception inside an import could be masked."""
    _print("stopped")
    os._exit(128 + signum)


def _print(line: str) -> None:
    """Print a message on standard error; only a list of errors has more than one line."""
    lines = re.split(r"\n(?=  )", line)
    text = "\n".join("".join(char if char.isprintable() else repr(char)[1:-1] for char in part) for part in lines)
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
