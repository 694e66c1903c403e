"""Compiled experts give the same results under the same names; where they are refused."""

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from longtail.checkpoint_file import read_checkpoint
from longtail.distributed import Place, World
from longtail.engine.compiling import check_compilable, compile_experts, uncompiled
from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from tests.helpers.training import (
    CONTRASTIVE,
    MANIFOLD,
    NCL,
    FinishedRun,
    TinyConfig,
    assert_same,
    read_records,
    stop_after,
    train,
    values,
)

COMPILED = ["TRAIN.COMPILE", True, "DROPOUT", False]
CPU = torch.device("cpu")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Trace and differentiate graphs without the C++ compiler; return whether each traced graph trains."""
    seen: list[bool] = []

    def backend(graph: Any, inputs: Any) -> Any:
        seen.append(torch.is_grad_enabled())
        return aot_eager(graph, inputs)

    torch._dynamo.reset()
    aot_eager = torch._dynamo.lookup_backend("aot_eager")
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    yield seen
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("method", [NCL, CONTRASTIVE], ids=["nested", "contrastive"])
def test_compiled_steps_have_the_losses_of_uncompiled_ones(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, graphs: list[bool], method: list[Any]
) -> None:
    settings = ["TRAIN.MAX_EPOCH", 5, "VALID_STEP", 5, "TRAIN.OPTIMIZER.BASE_LR", 0.01]
    plain = finished_run(*settings, "DROPOUT", False, method=method)
    assert graphs == []
    compiled = train(tiny_cfg(*settings, *COMPILED, method=method))
    losses = [[record["loss"] for record in read_records(run)] for run in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert read_checkpoint(compiled.last)["model"].keys() == read_checkpoint(plain.last)["model"].keys()
    assert graphs == [True]  # one for three experts, none for the evaluation


@pytest.mark.slow
def test_compiled_run_resumes_bit_by_bit(tiny_cfg: TinyConfig, graphs: list[bool]) -> None:
    whole = train(tiny_cfg(*COMPILED, "TRAIN.MAX_EPOCH", 2, "NAME", "whole", method=NCL))
    cfg = tiny_cfg(*COMPILED, "TRAIN.MAX_EPOCH", 2, method=NCL)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(6, patch)
        with pytest.raises(Interrupted):
            train(cfg)
    assert_same(values(whole), values(train(cfg)))


@pytest.mark.slow
def test_uncompiled_runs_compiled_modules_eagerly(graphs: list[bool]) -> None:
    network = torch.nn.Linear(2, 2)
    compile_experts(network)
    with uncompiled():
        network(torch.ones(1, 2))
    assert graphs == []
    network(torch.ones(1, 2))
    assert graphs == [True]


def test_method_that_changes_the_network_in_every_step_is_refused(tiny_cfg: TinyConfig) -> None:
    message = r"TRAIN\.COMPILE is True, but this TRAIN\.COMBINER\.TYPE changes the network in every step"
    with pytest.raises(UserError, match=message):
        train(tiny_cfg(*COMPILED, method=MANIFOLD))


def test_check_compilable_refuses_several_gpus_in_one_process() -> None:
    with pytest.raises(UserError, match=r"but 2 GPUs are used by one process; .* distributed_data_parallel_train\.sh"):
        check_compilable(Place(devices=(CPU, CPU)), compilable=True)


def test_check_compilable_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="CXX names no-such-compiler, which does not exist"):
        check_compilable(Place(), compilable=True)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler; none was found \(g\+\+, clang\+\+\)"):
        check_compilable(Place(World(size=2), devices=(CPU, CPU)), compilable=True)
