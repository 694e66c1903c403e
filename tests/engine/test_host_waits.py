"""A training step never asks the device for a number, and never sends it one: on a GPU either is a wait."""

import pytest
import torch
from test_mixing_runs import BBN, MANIFOLD, MIXUP, REMIX
from tiny import CE, CONTRASTIVE, NCL
from torch.utils._python_dispatch import TorchDispatchMode

from longtail.engine.trainer import Trainer
from longtail.engine.training import train

ASKED = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "unique_dim", "_unique2"}
SENT = {"lift_fresh"}


class Questions(TorchDispatchMode):
    """Notes operations whose result the host needs before it can go on, and tensors made of the host's numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            one is not None and one.dtype == torch.bool for one in args[1]
        )
        if name in ASKED | SENT or by_mask:
            self.asked.append(name)
        return func(*args, **kwargs or {})


NCL_PLUS = [*NCL, "LOSS.LOSS_TYPE", "NIL_NBOD_plus", "DATASET.INTRA_N", 2]
CLIPPED = [*NCL, "TRAIN.OPTIMIZER.CLIP_NORM", 1.0]
BY_NAME = {
    "plain": CE,
    "nested": NCL,
    "ncl_plus": NCL_PLUS,
    "clipped": CLIPPED,
    "contrastive": CONTRASTIVE,
    "mixup": MIXUP,
    "manifold_mixup": MANIFOLD,
    "remix": REMIX,
    "bbn_mixup": BBN,
}


def questions_of(cfg, monkeypatch) -> list[str]:
    """Train an epoch as a GPU does, with verdicts that are read later, and return what its steps asked."""
    original, asked = Trainer._step, []

    def step(self, batch):
        self.guard.immediate = False
        with Questions() as questions:
            original(self, batch)
        asked.extend(questions.asked)

    monkeypatch.setattr(Trainer, "_step", step)
    train(cfg, "x.yaml", "cpu")
    return asked


@pytest.mark.parametrize("method", BY_NAME)
def test_a_step_asks_for_nothing(tiny_cfg, monkeypatch, method):
    assert questions_of(tiny_cfg("TRAIN.MAX_EPOCH", 1, method=BY_NAME[method]), monkeypatch) == []


def test_questions_are_noticed():
    with Questions() as questions:
        values = torch.arange(3.0)
        float(values.sum())
        values[values > 1]
    assert questions.asked == ["_local_scalar_dense", "index"]
