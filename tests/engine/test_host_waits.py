"""A training step never reads a number from the device or sends it one: on a GPU, the host would wait."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from yacs.config import CfgNode

from longtail.engine.ema import WeightAverage
from longtail.engine.meter import Meter
from longtail.engine.trainer import Trainer
from longtail.methods import Contrastive
from tests.helpers.training import (
    BBN,
    CASCADE,
    CE,
    CONTRASTIVE,
    CUTMIX,
    MANIFOLD,
    MIXUP,
    NCL,
    NCL_PLUS,
    REMIX,
    TinyConfig,
    patch_step,
    train,
)

ASKED = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "bincount", "unique_dim", "_unique2"}
SENT = {"lift_fresh"}
PER_SAMPLE = ["TRAIN.COMBINER.PER_SAMPLE", True, "TRAIN.TWO_STAGE.DRW", False]
METHODS = {
    "supervised": CE,
    "nested": NCL,
    "ncl_plus": NCL_PLUS,
    "clipped": [*NCL, "TRAIN.OPTIMIZER.CLIP_NORM", 1.0],
    "average": [*CE, "TRAIN.EMA.DECAY", 0.9],
    "per_step_schedule": [*CE, "TRAIN.LR_SCHEDULER.TYPE", "warmup_cosine"],
    "contrastive": CONTRASTIVE,
    "mixup": MIXUP,
    "cutmix": CUTMIX,
    "cutmix_per_sample": [*CUTMIX, *PER_SAMPLE],
    "manifold_mixup": MANIFOLD,
    "remix": REMIX,
    "bbn_mixup": BBN,
    "cascade": CASCADE,
}


class Questions(TorchDispatchMode):
    """Record of operations whose result the host waits for, and of tensors made of numbers of the host."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in ASKED | SENT or by_mask:
            self.asked.append(name)
        return func(*args, **kwargs or {})


def watched(function: Callable[..., Any], asked: list[str]) -> Callable[..., Any]:
    """Return a function that also records its reads from the device."""

    def watch(*args: Any, **kwargs: Any) -> Any:
        with Questions() as questions:
            result = function(*args, **kwargs)
        asked.extend(questions.asked)
        return result

    return watch


def questions_of(cfg: CfgNode, patch: pytest.MonkeyPatch) -> list[str]:
    """Train an epoch as on a GPU, where results of checks are read later; return the reads of its steps."""
    asked: list[str] = []
    for owner, name in (
        (Trainer, "train_step"),
        (Meter, "update"),
        (WeightAverage, "update"),
        (Contrastive, "on_step_end"),
    ):
        patch.setattr(owner, name, watched(getattr(owner, name), asked))
    patch_step(patch, lambda trainer: setattr(trainer.guard, "immediate", False))
    train(cfg)
    return asked


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_training_step_never_reads_from_the_device(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    cfg = tiny_cfg("TRAIN.MAX_EPOCH", 1, "VALID_STEP", -1, method=METHODS[method])
    assert questions_of(cfg, monkeypatch) == []


def test_questions_are_noticed() -> None:
    with Questions() as questions:
        numbers = torch.arange(3.0)
        float(numbers.sum())
        numbers[numbers > 1]
    assert questions.asked == ["_local_scalar_dense", "index"]
