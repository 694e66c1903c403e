#!/usr/bin/env python3
"""Stop or kill one of two processes of a training at a random time; check how the other one ends, and the restart.

    python benchmarks/trust/ranks.py --trials 10
    python benchmarks/trust/ranks.py --trials 2 --torchrun

A stopped process (SIGSTOP) does not respond: the other one must end within TRAIN.PEER_TIMEOUT (here 0.5 minutes) plus
--limit seconds, with exit code 1 and one line. If one is killed, the other must end at once, or within that time while
they connect. The same command must then end with the results of an uninterrupted training. Without --torchrun the
processes are forked, which starts faster.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from forked import STARTING, one_line, outcome, start, warm_up
from small import FIRST_CONFIG, no_figures

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 0.5
SETTINGS = ("TRAIN.MAX_EPOCH", 8, "TRAIN.CHECKPOINT_MINUTES", 0, "TRAIN.PEER_TIMEOUT", MINUTES, "NAME", "trial")


def main(arguments: list[str] | None = None) -> int:
    """Run the trials and print their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10, metavar="N", help="half of them stop, half kill; default: 10")
    parser.add_argument("--torchrun", action="store_true", help="real commands under torchrun")
    parser.add_argument("--limit", type=float, default=60.0, metavar="SECONDS", help="beyond the timeout; default: 60")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    draw = random.Random(chosen.seed)
    faults: list[str] = []
    slowest = {"STOP": 0.0, "KILL": 0.0}
    with tempfile.TemporaryDirectory() as name, no_figures():
        folder = Path(name)
        (folder / "config.yaml").write_text(FIRST_CONFIG)
        launch = under_torchrun if chosen.torchrun else forked
        if not chosen.torchrun:
            warm_up(words(folder, "warm"))
        started = time.monotonic()
        launch(folder, "whole").finish()
        duration = time.monotonic() - started
        expected = outcome(folder / "whole" / "trial")
        for number in range(chosen.trials):
            kind, what = ("STOP", "KILL")[number % 2], f"trial{number}"
            training = launch(folder, what)
            time.sleep(draw.uniform(0, duration))  # while they connect, too
            seconds = training.lose(kind, draw.randrange(2), limit=60 * MINUTES * (kind == "STOP") + chosen.limit)
            slowest[kind] = max(slowest[kind], seconds)
            faults += [f"{what} ({kind}): {fault}" for fault in training.faults]
            launch(folder, what).finish()
            if outcome(folder / what / "trial") != expected:
                faults.append(
                    f"{what} ({kind}): the same command did not end with the results of an uninterrupted training"
                )
            shutil.rmtree(folder / what)
    by = "torchrun" if chosen.torchrun else "forks"
    print(
        f"a process of two stopped or killed ({by}): {chosen.trials} trials, {len(faults)} faults; slowest end "
        f"{slowest['STOP']:.1f} s after SIGSTOP (timeout {60 * MINUTES:g} s), {slowest['KILL']:.1f} s after SIGKILL"
    )
    for fault in faults[:10]:
        print(f"  {fault}")
    return 1 if faults else 0


def words(folder: Path, name: str) -> list[Any]:
    """Return the command line of a training."""
    return [folder / "config.yaml", "--gpus", "cpu", *SETTINGS, "OUTPUT_DIR", folder / name]


class Forked:
    """Two forked processes of a training.

    Args:
        folder: Folder of configs and outputs.
        name: Name of the output.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.log = folder / f"{name}.log"
        self.log.unlink(missing_ok=True)
        self.children = start(words(folder, name), self.log, processes=2)
        self.faults: list[str] = []

    def lose(self, kind: str, rank: int, *, limit: float) -> float:
        """Stop or kill one process; return after how many seconds the other one has ended."""
        lost, other = self.children[rank], self.children[1 - rank]
        sent = time.monotonic()
        lost.send(signal.Signals[f"SIG{kind}"])
        code = other.wait(limit)
        seconds = time.monotonic() - sent
        lost.send(signal.SIGKILL)
        lost.wait(STARTING)
        if code is None:
            self.faults.append(f"the other process had not ended after {limit:g} s")
        elif code not in (0, 1) or (code == 1 and not one_line(self.log.read_text())):
            self.faults.append(f"the other process ended with exit code {code}: {self.log.read_text()[-300:]!r}")
        return seconds

    def finish(self) -> None:
        """Wait for the end of the training."""
        for child in self.children:
            child.wait(5 * STARTING)


class UnderTorchrun(Forked):
    """The same training under torchrun, which ends the other processes itself when one has ended."""

    def __init__(self, folder: Path, name: str) -> None:
        self.log = folder / f"{name}.log"
        self.faults = []
        script = Path(__file__).parent / "small_train.py"
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", str(script)]
        paths = filter(None, (str(ROOT / "lib"), os.environ.get("PYTHONPATH")))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
        with self.log.open("a") as file:
            command = [*launcher, *map(str, words(folder, name))]
            self.launcher = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=file)

    def lose(self, kind: str, rank: int, *, limit: float) -> float:
        """Stop or kill one process; return after how many seconds torchrun has ended."""
        while len(workers := children_of(self.launcher.pid)) != 2:
            if self.launcher.poll() is not None:
                return 0.0  # the training has ended
            time.sleep(0.05)  # they have not started yet
        sent = time.monotonic()
        os.kill(workers[rank], signal.Signals[f"SIG{kind}"])
        try:
            self.launcher.wait(limit + 30)  # torchrun waits 30 seconds before it kills a process that is stopped
        except subprocess.TimeoutExpired:
            self.faults.append(f"torchrun had not ended after {limit + 30:g} s")
            self.launcher.kill()
        own = [line for line in self.log.read_text(errors="replace").splitlines() if line.startswith("error: ")]
        if kind == "STOP" and len(own) != 1:
            self.faults.append(f"the processes printed {own}")
        return time.monotonic() - sent

    def finish(self) -> None:
        """Wait for the end of the training."""
        self.launcher.wait(10 * STARTING)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def forked(folder: Path, name: str) -> Forked:
    """Start a training in two forked processes."""
    return Forked(folder, name)


def under_torchrun(folder: Path, name: str) -> Forked:
    """Start a training under torchrun."""
    return UnderTorchrun(folder, name)


if __name__ == "__main__":
    sys.exit(main())
