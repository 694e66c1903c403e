"""A training that takes about a second, for measurements that need many of them."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from longtail.distributed import Place
from longtail.engine.trainer import Trainer
from longtail.stages import train as train_stage

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.helpers.training import FIGURES  # registers the network `tiny`, too

CPU = Place()
FIRST_CONFIG = """
DATASET: {DATASET: digits_lt, VIEWS: [crop], NORMALIZATION: digits, IMBALANCECIFAR: {RATIO: 0.02}}
BACKBONE: {TYPE: tiny}
TRAIN: {BATCH_SIZE: 64, MAX_EPOCH: 3, OPTIMIZER: {BASE_LR: 0.05}, TENSORBOARD: {ENABLE: false}}
TEST: {BATCH_SIZE: 256}
VALID_STEP: 1
SAVE_STEP: -1
"""  # of Digits-LT: three epochs of some batches


@contextlib.contextmanager
def no_figures() -> Iterator[None]:
    """Context manager without the figures of a training, which take most of the time of such a small run."""
    with contextlib.ExitStack() as stack:
        for name in FIGURES:
            stack.enter_context(patch.object(train_stage, name, lambda *arguments, **options: None))
        yield


@contextlib.contextmanager
def stopped_after(steps: int) -> Iterator[None]:
    """Context manager that sends SIGTERM to this process while it computes a certain batch."""
    original = Trainer.train_step
    done = 0

    def step(self: Trainer, *arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == steps:
            signal.raise_signal(signal.SIGTERM)
        return original(self, *arguments)

    with patch.object(Trainer, "train_step", step):
        yield
