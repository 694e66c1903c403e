"""A training that takes about a second, for measurements that need many of them."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn

from longtail.distributed import Place
from longtail.engine.trainer import Trainer
from longtail.models import BACKBONES, BackboneOptions
from longtail.models.backbones.base import StagedBackbone
from longtail.stages import train as train_stage

CPU = Place()
FIRST_CONFIG = """
DATASET: {DATASET: digits_lt, VIEWS: [crop], NORMALIZATION: digits, IMBALANCECIFAR: {RATIO: 0.02}}
BACKBONE: {TYPE: small_measured}
TRAIN: {BATCH_SIZE: 64, MAX_EPOCH: 3, OPTIMIZER: {BASE_LR: 0.05}, TENSORBOARD: {ENABLE: false}}
TEST: {BATCH_SIZE: 256}
VALID_STEP: 1
SAVE_STEP: -1
"""  # of Digits-LT: three epochs of some batches
FIGURES = ("plot_class_counts", "plot_curves", "plot_per_class_accuracy", "plot_confusion")


class Small(StagedBackbone):
    """Two convolutions with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.set_stages({"body": 8})

    def stem(self, images: Tensor) -> Tensor:
        """Return the images."""
        return images


@BACKBONES.register("small_measured")
def small(options: BackboneOptions) -> Small:
    """Build it."""
    return Small()


@contextlib.contextmanager
def no_figures() -> Iterator[None]:
    """Within the block, leave out the figures of a training, which take most of the time of so small a run."""
    with contextlib.ExitStack() as stack:
        for name in FIGURES:
            stack.enter_context(patch.object(train_stage, name, lambda *arguments, **options: None))
        yield


@contextlib.contextmanager
def stopped_after(steps: int) -> Iterator[None]:
    """Within the block, send SIGTERM to this process while it computes a certain batch."""
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
