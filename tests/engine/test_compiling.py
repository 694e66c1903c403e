"""Compiled experts compute what the others compute, under the same names; and where they are refused."""

import functools

import pytest
import torch
from longtail.engine.distributed import World
from test_mixing_runs import MANIFOLD
from test_resume import assert_same, stop_after, values
from tiny import CONTRASTIVE, NCL

from longtail.engine.compiling import check_compilable
from longtail.engine.interrupts import Interrupted
from longtail.engine.training import train
from longtail.errors import UserError
from longtail.models import read_checkpoint

COMPILED = ["TRAIN.COMPILE", True, "DROPOUT", False]
CPU = torch.device("cpu")


@pytest.fixture
def graphs(monkeypatch):
    """Trace and differentiate graphs, but leave out the C++ compiler; returns whether each traced graph trains."""
    seen = []

    def backend(graph, inputs):
        seen.append(torch.is_grad_enabled())
        return aot_eager(graph, inputs)

    torch._dynamo.reset()
    aot_eager = torch._dynamo.lookup_backend("aot_eager")
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    yield seen
    torch._dynamo.reset()


@pytest.mark.parametrize("method", [NCL, CONTRASTIVE], ids=["nested", "contrastive"])
def test_twenty_steps_have_the_losses_of_uncompiled_ones(tiny_cfg, graphs, method):
    settings = ["TRAIN.MAX_EPOCH", 5, "VALID_STEP", 5, "TRAIN.OPTIMIZER.BASE_LR", 0.01]
    plain = train(tiny_cfg(*settings, "DROPOUT", False, "NAME", "plain", method=method), "x.yaml", "cpu")
    assert graphs == []
    compiled = train(tiny_cfg(*settings, *COMPILED, method=method), "x.yaml", "cpu")
    losses = [[record["loss"] for record in values(run)[1]] for run in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert read_checkpoint(compiled.last)["model"].keys() == read_checkpoint(plain.last)["model"].keys()
    assert graphs == [True]  # one for three experts, none for judging


def test_a_stopped_compiled_run_goes_on_bit_by_bit(tiny_cfg, graphs, monkeypatch):
    whole = train(tiny_cfg(*COMPILED, "TRAIN.MAX_EPOCH", 2, "NAME", "whole", method=NCL), "x.yaml", "cpu")
    cfg = tiny_cfg(*COMPILED, "TRAIN.MAX_EPOCH", 2, method=NCL)
    with monkeypatch.context() as patch:
        stop_after(6, patch)
        with pytest.raises(Interrupted):
            train(cfg, "x.yaml", "cpu")
    assert_same(values(whole), values(train(cfg, "x.yaml", "cpu")))


def test_what_cannot_be_compiled_is_refused(tiny_cfg, monkeypatch):
    with pytest.raises(UserError, match=r"TRAIN\.COMPILE is True; manifold mixup"):
        train(tiny_cfg(*COMPILED, method=MANIFOLD), "x.yaml", "cpu")
    with pytest.raises(UserError, match="for 2 GPUs in one process"):
        check_compilable("nested", [CPU, CPU], World())
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="CXX names no-such-compiler, which is not there"):
        check_compilable("nested", [CPU], World())
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler; none is there"):
        check_compilable("nested", [CPU, CPU], World(size=2))
