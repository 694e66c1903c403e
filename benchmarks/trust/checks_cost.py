#!/usr/bin/env python3
"""Measure how much time the checks of a training take, as a fraction of an epoch.

    python benchmarks/trust/checks_cost.py
    python benchmarks/trust/checks_cost.py cifar10_im100,ce --epochs 2

CPU time within one training. Before it: the forward pass of a few training and validation images, and the search for an
intact checkpoint. During it: the checks of losses and gradients in every step, the check of weights and logits before a
checkpoint is written, and its checksum. Nested calls count once.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from small import CPU, no_figures

from longtail import checkpoint_file
from longtail.config import load_config
from longtail.engine import training_state
from longtail.engine.finite_guard import FiniteGuard
from longtail.runs import resume
from longtail.stages import train as train_stage

CHECKS: dict[str, list[tuple[Any, str]]] = {
    "before the training": [(train_stage, "dry_run"), (train_stage, "check_training"), (resume, "is_intact")],
    "every step": [(FiniteGuard, "check"), (FiniteGuard, "report")],
    "every checkpoint": [
        (training_state, "find_non_finite"),
        (training_state, "non_finite_state"),
        (checkpoint_file, "checksum"),
    ],
}


class Clock:
    """Total of the seconds that wrapped functions take."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = False

    def wrap(self, function: Any, name: str) -> Any:
        """Return a function that is timed, unless it is called by another timed function."""

        def timed(*arguments: Any, **options: Any) -> Any:
            if self._inside:
                return function(*arguments, **options)
            self._inside, started = True, time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[name] += time.process_time() - started
                self._inside = False

        return timed


def main(arguments: list[str] | None = None) -> int:
    """Train and print the fractions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="digits_lt,ce", help="default: digits_lt,ce")
    parser.add_argument("--epochs", type=int, default=3, metavar="N")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help="other settings")
    chosen = parser.parse_args(arguments)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack, no_figures():
        for name, functions in CHECKS.items():
            for owner, function in functions:
                original = getattr(owner, function)
                stack.enter_context(patch.object(owner, function, clock.wrap(original, name)))
        keys = ["TRAIN.MAX_EPOCH", chosen.epochs, "VALID_STEP", 1, "OUTPUT_DIR", str(Path(folder)), *chosen.set]
        started = time.process_time()
        train_stage.train(load_config(chosen.config, keys), chosen.config, place=CPU)
        total = time.process_time() - started
    epoch = (total - clock.seconds["before the training"]) / chosen.epochs
    print(f"{chosen.config}: {chosen.epochs} epochs of {epoch:.2f} s")
    print(f"  before the training: {clock.seconds['before the training']:.3f} s, once")
    fractions = {name: clock.seconds[name] / chosen.epochs / epoch for name in ("every step", "every checkpoint")}
    for name, fraction in fractions.items():
        print(f"  {name}: {100 * fraction:.2f} % of an epoch")
    print(f"  together: {100 * sum(fractions.values()):.2f} % of an epoch")
    return 0


if __name__ == "__main__":
    sys.exit(main())
