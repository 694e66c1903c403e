#!/usr/bin/env python3
"""Stop trainings at random moments, resume them by the same command, and compare the ends with an unbroken training.

    python benchmarks/trust/interruptions.py --trials 20
    python benchmarks/trust/interruptions.py --signals TERM INT USR1 --processes 2 --trials 20

Each trial trains a tiny set for a few epochs; it is stopped once or twice. KILL cannot be obeyed; after the other
signals the training must end within --limit seconds with the exit code 128 + n. At the end the weights, metrics and
results are compared, and nothing temporary may be left.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from longtail.checkpoint_file import checksum, read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
KEYS = (
    *(
        "TRAIN.MAX_EPOCH",
        "4",
        "TRAIN.BATCH_SIZE",
        "32",
        "VALID_STEP",
        "1",
        "SAVE_STEP",
        "2",
        "TRAIN.CHECKPOINT_MINUTES",
        "0",
    ),
    *("TRAIN.TENSORBOARD.ENABLE", "False", "NAME", "trial"),
)
TIMES = ("seconds", "time", "images_per_second", "hours", "eta")  # entries of metrics and results that differ by nature


def main() -> int:
    """Run the trials and print their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, metavar="N")
    parser.add_argument("--signals", nargs="+", default=["KILL"], choices=["KILL", "TERM", "INT", "USR1"])
    parser.add_argument("--processes", type=int, default=1, choices=[1, 2])
    parser.add_argument("--limit", type=float, default=10.0, metavar="SECONDS", help="to obey a signal; default: 10")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        train(Path(folder) / "whole", chosen.processes).wait()
        duration = time.monotonic() - started
        expected = outcome(Path(folder) / "whole")
        if expected is None:
            sys.exit("the unbroken training did not finish")
        faults: list[str] = []
        slowest = 0.0
        for trial in range(chosen.trials):
            output = Path(folder) / f"trial{trial}"
            name = draw.choice(chosen.signals)
            for _ in range(draw.choice((1, 2))):
                process = train(output, chosen.processes)
                time.sleep(draw.uniform(0.3, duration))
                slowest = max(slowest, stop(process, name, faults=faults, limit=chosen.limit))
            train(output, chosen.processes).wait()
            ended = outcome(output)
            if ended != expected:
                faults.append(f"trial {trial} ({name}): {'differs' if ended else 'did not finish'}")
            left = [path.name for path in output.rglob("*.tmp")]
            if left:
                faults.append(f"trial {trial}: {', '.join(left)} left over")
    print(
        f"{'/'.join(chosen.signals)}, {chosen.processes} process(es): {chosen.trials} trials, {len(faults)} faults; "
        f"the slowest stop took {slowest:.1f} s; an unbroken training {duration:.1f} s"
    )
    for fault in faults[:10]:
        print(f"  {fault}")
    return 1 if faults else 0


def train(output: Path, processes: int) -> "subprocess.Popen[bytes]":
    """Start a training."""
    script = [
        str(ROOT / "main" / "train.py"),
        "--cfg",
        "digits_lt,ce",
        "--gpus",
        "cpu",
        *KEYS,
        "OUTPUT_DIR",
        str(output),
    ]
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--standalone"] if processes > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "lib")}
    return subprocess.Popen(
        [sys.executable, *launcher, *script], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def stop(process: "subprocess.Popen[bytes]", name: str, *, faults: list[str], limit: float) -> float:
    """Send a signal to a training, and return after how many seconds it ended."""
    number = signal.Signals[f"SIG{name}"]
    sent = time.monotonic()
    process.send_signal(number)
    try:
        process.wait(600 if name == "KILL" else limit)
    except subprocess.TimeoutExpired:
        faults.append(f"SIG{name} was not obeyed within {limit:g} s")
        process.kill()
        process.wait()
    return time.monotonic() - sent


def outcome(output: Path) -> dict[str, Any] | None:
    """Return what a finished training leaves: digests of weights, metrics and results; None if it is not finished."""
    runs = sorted(output.glob("trial/*/results.json"))
    if not runs:
        return None
    run = runs[-1].parent
    checkpoint = read_checkpoint(run / "models" / "last.pth")
    metrics = [without_times(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = without_times(json.loads(runs[-1].read_text())["last"])
    return {"weights": checksum({"model": checkpoint["model"]}), "metrics": metrics, "last": last}


def without_times(record: Any) -> Any:
    """Return a record without entries that depend on the clock."""
    if not isinstance(record, dict):
        return record
    return {key: without_times(value) for key, value in record.items() if key not in TIMES}


if __name__ == "__main__":
    sys.exit(main())
