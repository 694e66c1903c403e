"""Forward pass and loss of every method on a GPU that does not exist.

No tensor is left on the host, and nothing waits for the GPU.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.data import build_splits
from longtail.distributed import SINGLE_PROCESS, Place
from longtail.engine.trainer import Trainer
from longtail.stages.build import build_training
from tests.helpers import training
from tests.helpers.fake_device import GPU, fake_gpu, without_driver
from tests.helpers.training import tiny_config

METHODS: dict[str, list[Any]] = {
    name: getattr(training, name)
    for name in ("CE", "NCL", "NCL_PLUS", "CONTRASTIVE", "CASCADE", "MIXUP", "CUTMIX", "MANIFOLD", "REMIX", "BBN")
}


class NoFiles:
    """Replacement of a run that writes nothing."""


def step_on_fake_gpu(cfg: Any) -> torch.device:
    """Take one training step and return the device of its loss."""
    with fake_gpu() as patch:
        place = Place(SINGLE_PROCESS, (GPU,), GPU)
        trainer = Trainer(build_training(cfg, build_splits(cfg), place=place, source="x"), NoFiles())  # type: ignore[arg-type]
        trainer.set_up_epoch()
        without_driver(patch, trainer.training.optimizer)
        batch = next(trainer._batches()).to(GPU)
        step = trainer.train_step(batch, None)[0]
        trainer.training.method.on_step_end()
        return step.loss.device


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_training_step_of_method_on_fake_gpu(tmp_path: Path, method: str) -> None:
    assert step_on_fake_gpu(tiny_config(tmp_path, method=METHODS[method])) == GPU


def test_fake_gpu_finds_a_tensor_on_the_host() -> None:
    with fake_gpu(), pytest.raises((RuntimeError, ValueError), match="device"):
        torch.zeros(3, device=GPU) + torch.ones(3)


def test_fake_gpu_finds_a_wait() -> None:
    with fake_gpu(), pytest.raises(Exception, match=r"item|data|_local_scalar_dense"):
        torch.zeros(3, device=GPU).sum().item()
