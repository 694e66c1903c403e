"""Common parts of the trust measurements: trials of random inputs, and their summary in one line."""

import argparse
import contextlib
import io
import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType

from longtail.errors import UserError

LIMIT = 20  # seconds, where a trial does not compute


class Hang(BaseException):
    """A trial that took longer than `LIMIT`; not an Exception, so that no code catches it by accident."""


class Trials:
    """Counts of how trials end: success, refused in one line, refused in several, a traceback, or a hang.

    Args:
        name: Name of the kind of trial.
        limit: Seconds after which a trial counts as a hang.
    """

    def __init__(self, name: str, limit: int = LIMIT) -> None:
        self.name = name
        self.limit = limit
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def run(self, trial: Callable[[], object], what: str) -> str:
        """Run one trial and return how it ended.

        Args:
            trial: It may raise a UserError.
            what: Its input, for the examples of faults.
        """
        try:
            with time_limit(self.limit), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial()
            end = "fine"
        except UserError as error:
            end = "refused" if "\n" not in str(error) or "\n  " in str(error) else "several lines"
        except Hang:
            end = "hang"
            self.examples.setdefault(f"longer than {self.limit} s", what)
        except Exception:
            end = "traceback"
            self.examples.setdefault(traceback.format_exc(limit=-2), what)
        self.counts[end] += 1
        return end

    def report(self) -> int:
        """Print the counts in one line and the faults below; return the number of faults."""
        faults = self.counts["traceback"] + self.counts["hang"] + self.counts["several lines"]
        ends = ", ".join(f"{count:,} {end}" for end, count in self.counts.most_common())
        print(f"{self.name}: {sum(self.counts.values()):,} trials: {ends}; {faults} faults")
        for text, what in list(self.examples.items())[:5]:
            print(f"  {what[:200]!r}\n    " + text.strip().replace("\n", "\n    "))
        return faults


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise `Hang` in the block after some seconds."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Hang

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def options(documentation: str | None, trials: int, arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line of a measurement: --trials and --seed."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=trials, metavar="N", help=f"default: {trials}")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)
