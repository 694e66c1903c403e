"""Replayed steps are the steps that would have been launched; and where they are refused.

The recorder of a CPU is a stand-in with a GPU's habits: what is recorded is not done, and results of every replay lie
where those of the last one lay.
"""

import pytest
import torch
from longtail.engine.distributed import World
from longtail.engine.guard import NotFinite
from longtail.engine.recorded_stepping import WARM_UP, check_recordable
from test_resume import BATCHES, assert_same, stop_after, values
from tiny import CE, CONTRASTIVE, NCL
from torch.utils import _pytree as pytree

from longtail.engine import recorded_stepping, training
from longtail.engine.interrupts import Interrupted
from longtail.engine.trainer import Trainer
from longtail.engine.training import train
from longtail.errors import UserError

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
NCL_PLUS = [*NCL, "LOSS.LOSS_TYPE", "NIL_NBOD_plus", "DATASET.INTRA_N", 2]
LOOP, STREAMS = ["TRAIN.CUDA_GRAPH", "loop"], ["TRAIN.CUDA_GRAPH", "streams"]


class Rerun:
    """A recorder that does the work anew, from Python, whenever it is replayed."""

    def __init__(self, device):
        self.recordings = self.replays = 0
        self.results = None

    def warm_up(self, work):
        return work()

    def record(self, work):
        self.recordings += 1
        self.work, self.results = work, None

    def replay(self):
        self.replays += 1
        results = self.work()
        if self.results is None:
            self.results = pytree.tree_map_only(torch.Tensor, lambda new: new.detach().clone(), results)
        for place, new in zip(*map(pytree.tree_leaves, (self.results, results)), strict=True):
            if new is not None:
                place.copy_(new)
        return self.results


@pytest.fixture
def recorders(monkeypatch):
    """Let CUDA graphs be asked for on a CPU; returns the recorders of the trainings."""
    made = []

    def recorder(device):
        made.append(Rerun(device))
        return made[-1]

    monkeypatch.setattr(recorded_stepping, "CudaGraph", recorder)
    monkeypatch.setattr(training, "check_recordable", lambda *facts: None)
    return made


@pytest.mark.parametrize("how", [LOOP, STREAMS], ids=["loop", "streams"])
@pytest.mark.parametrize(
    "method",
    [CE, [*CE, "TRAIN.SAMPLER.TYPE", "bbn sampler"], NCL, NCL_PLUS, [*NCL, "TRAIN.OPTIMIZER.CLIP_NORM", 0.5]],
    ids=["plain", "partners", "nested", "plus", "clipped"],
)
def test_replayed_steps_give_the_same_run(tiny_cfg, recorders, method, how):
    plain = train(tiny_cfg("NAME", "plain", method=method), "x.yaml", "cpu")
    assert recorders == []
    replayed = train(tiny_cfg(*how, method=method), "x.yaml", "cpu")
    assert_same(values(plain), values(replayed))
    (recorder,) = recorders
    assert recorder.recordings == 3  # one per epoch: learning rates are part of what is recorded
    assert recorder.replays == 3 * BATCHES - WARM_UP


@pytest.mark.parametrize("steps", [2, BATCHES + 3])
def test_a_stopped_run_goes_on_bit_by_bit(tiny_cfg, recorders, monkeypatch, steps):
    whole = train(tiny_cfg("NAME", "whole", method=NCL), "x.yaml", "cpu")
    cfg = tiny_cfg(*LOOP, method=NCL)
    with monkeypatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted):
            train(cfg, "x.yaml", "cpu")
    assert_same(values(whole), values(train(cfg, "x.yaml", "cpu")))
    assert len(recorders) == 2


def test_a_bad_step_is_named_and_does_not_reach_the_weights(tiny_cfg, recorders, monkeypatch):
    trainers, original = [], Trainer._step

    def step(self, batch):
        trainers.append(self)
        if (self.epoch, self.batch) == (2, 1):
            self.network.experts[0].head.weight.data[0, 0] = torch.inf
            trainers.append({name: value.clone() for name, value in self.network.named_parameters()})
        return original(self, batch)

    monkeypatch.setattr(Trainer, "_step", step)
    with pytest.raises(NotFinite, match=r"epoch 2, batch 2 \(ce (nan|inf).*samples \d+ \d+"):
        train(tiny_cfg(*LOOP, method=CE), "x.yaml", "cpu")
    (before,) = (one for one in trainers if isinstance(one, dict))
    assert len(trainers) == 2 * BATCHES + 1  # the verdict is read at the end of the epoch
    for name, value in trainers[-1].network.named_parameters():
        assert torch.equal(value, before[name]), name


def test_methods_that_decide_something_in_every_step_are_refused(tiny_cfg, recorders):
    expected = r"^TRAIN.CUDA_GRAPH is loop: training method contrastive draws or decides something anew in every step; "
    with pytest.raises(UserError, match=expected):
        train(tiny_cfg(*LOOP, method=CONTRASTIVE), "x.yaml", "cpu")


def test_what_cannot_be_recorded_is_refused(tiny_cfg):
    with pytest.raises(UserError, match=r"^TRAIN.CUDA_GRAPH is loop: it needs a GPU, and this run is on the CPU; off"):
        train(tiny_cfg(*LOOP), "x.yaml", "cpu")
    check_recordable(tiny_cfg(*LOOP), [GPU], World(), "bf16")
    with pytest.raises(UserError, match="this run has several"):
        check_recordable(tiny_cfg(*LOOP), [GPU, torch.device("cuda", 1)], World(), "off")
    with pytest.raises(UserError, match="this run has several"):
        check_recordable(tiny_cfg(*LOOP), [GPU], World(size=2), "off")
    with pytest.raises(UserError, match=r"TRAIN\.AMP must be bf16 or off"):
        check_recordable(tiny_cfg(*LOOP), [GPU], World(), "fp16")
    with pytest.raises(UserError, match=r"TRAIN\.OPTIMIZER\.TYPE must be SGD"):
        check_recordable(tiny_cfg(*LOOP, "TRAIN.OPTIMIZER.TYPE", "ADAM"), [GPU], World(), "off")
    with pytest.raises(UserError, match=r"TRAIN\.COMPILE must be False"):
        check_recordable(tiny_cfg(*LOOP, "TRAIN.COMPILE", True), [GPU], World(), "off")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("how", [LOOP, STREAMS], ids=["loop", "streams"])
def test_a_cuda_graph_trains_as_the_plain_loop_does(tiny_cfg, how):
    settings = ["DROPOUT", False, "DATASET.ON_DEVICE", True]
    runs = [
        train(tiny_cfg(*settings, *extra, "NAME", name, method=NCL), "x.yaml", "0")
        for name, extra in (("plain", []), ("graph", how))
    ]
    losses = [[record["loss"] for record in values(run)[1]] for run in runs]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
