#!/usr/bin/env python3
"""Stop trainings at random moments, resume them with the same command, and compare with an uninterrupted training.

    python benchmarks/trust/interruptions.py --trials 100
    python benchmarks/trust/interruptions.py --signals TERM INT USR1 --processes 2 --trials 60

Each trial trains on a tiny data set for a few epochs and is stopped once or twice. KILL cannot be handled: one of
several processes is killed, and the others must exit. After the other signals the training must end within --limit
seconds with the exit code 128 + n. At the end weights, metrics and results are compared, and no temporary file may be
left. Signals sent after a training had ended are counted separately.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from forked import STARTING, Child, outcome, start, warm_up
from small import FIRST_CONFIG, no_figures

PEER_TIMEOUT = 1  # minutes
SETTINGS: tuple[object, ...] = (
    *("SAVE_STEP", 2, "TRAIN.MAX_EPOCH", 6, "TRAIN.CHECKPOINT_MINUTES", 0, "TRAIN.PEER_TIMEOUT", PEER_TIMEOUT),
    *("NAME", "trial"),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the trials and print their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, metavar="N")
    parser.add_argument("--signals", nargs="+", default=["KILL"], choices=["KILL", "TERM", "INT", "USR1"])
    parser.add_argument("--processes", type=int, default=1, choices=[1, 2])
    parser.add_argument("--limit", type=float, default=30.0, metavar="SECONDS", help="to handle a signal; default: 30")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    draw = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as folder, no_figures():
        measured = Measured(Path(folder), chosen.processes, limit=chosen.limit)
        for number in range(chosen.trials):
            measured.trial(draw, draw.choice(chosen.signals), number=number)
    names = "/".join(chosen.signals)
    print(
        f"{names}, {chosen.processes} process(es): {chosen.trials} trials with {measured.stops} stops "
        f"({measured.late} of a training that had ended), {len(measured.faults)} faults; the slowest stop took "
        f"{max(measured.durations, default=0):.1f} s, an uninterrupted training {measured.duration:.1f} s"
    )
    for fault in measured.faults[:10]:
        print(f"  {fault}")
    return 1 if measured.faults else 0


class Measured:
    """Trials and their results.

    Args:
        folder: Empty folder.
        processes: Processes of each training.
        limit: Seconds within which a signal must be handled.
    """

    def __init__(self, folder: Path, processes: int, *, limit: float) -> None:
        self.folder, self.processes, self.limit = folder, processes, limit
        self.faults: list[str] = []
        self.durations: list[float] = []
        self.stops = self.late = 0
        (folder / "config.yaml").write_text(FIRST_CONFIG)
        warm_up(self.words("warm"))
        started = time.monotonic()
        self.finish("whole")
        self.duration = time.monotonic() - started
        self.expected = outcome(folder / "whole" / "trial")
        if self.expected is None:
            sys.exit("the uninterrupted training did not finish: " + (folder / "whole.log").read_text()[-300:])

    def words(self, name: str) -> list[object]:
        """Return the command line of a training."""
        return [self.folder / "config.yaml", "--gpus", "cpu", *SETTINGS, "OUTPUT_DIR", self.folder / name]

    def start(self, name: str) -> list[Child]:
        """Start a training."""
        return start(self.words(name), self.folder / f"{name}.log", processes=self.processes)

    def finish(self, name: str) -> None:
        """Run a training to its end."""
        for child in self.start(name):
            child.wait(5 * STARTING)

    def trial(self, draw: random.Random, name: str, *, number: int) -> None:
        """Stop a training once or twice, resume it, and compare."""
        what, output = f"trial{number}", self.folder / f"trial{number}"
        for _ in range(draw.choice((1, 2))):
            children = self.start(what)
            time.sleep(draw.uniform(0.05, self.duration))
            if all(child.ended() for child in children):  # the machine is less busy than before
                self.duration *= 0.8
            self.stop(children, name, draw=draw, what=what)
        self.finish(what)
        ended = outcome(output / "trial")
        if ended != self.expected:
            self.faults.append(f"{what} ({name}): {'differs' if ended else 'did not finish'}")
        left = [path.name for path in output.rglob("*.tmp")]
        if left:
            self.faults.append(f"{what}: {', '.join(left)} left over")
        shutil.rmtree(output)

    def stop(self, children: list[Child], name: str, *, draw: random.Random, what: str) -> None:
        """Send a signal to one process of a training, and check how all of them end."""
        number = signal.Signals[f"SIG{name}"]
        self.stops += 1
        self.late += all(child.ended() for child in children)
        sent = time.monotonic()
        draw.choice(children).send(number)
        # A process that is killed, or gets its signal before it handles signals, leaves others that wait for it: while
        # the processes connect, up to twice.
        limit = self.limit + (2 * 60 * PEER_TIMEOUT if len(children) > 1 else 0)
        codes = [child.wait(limit) for child in children]
        if None in codes:
            self.faults.append(f"{what}: SIG{name} was not handled within {limit:g} s")
        allowed = {0, -9, 1} if name == "KILL" else {0, 128 + number, -number, 1 if len(children) > 1 else 0}
        if not set(codes) <= {*allowed, None}:
            self.faults.append(f"{what}: exit codes {codes} after SIG{name}: {children[0].printed()[-200:]!r}")
        self.durations.append(time.monotonic() - sent)


if __name__ == "__main__":
    sys.exit(main())
