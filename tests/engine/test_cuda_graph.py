"""Replayed steps equal launched steps; where they are refused.

The recorder for a CPU imitates a GPU: recorded work is not executed, and every replay writes its results to the same
tensors.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from longtail.distributed import Place, World
from longtail.engine import cuda_graph
from longtail.engine.cuda_graph import WARM_UP, check_cuda_graph, graph_mode
from longtail.engine.finite_guard import NotFinite
from longtail.engine.interrupts import Interrupted
from longtail.engine.trainer import Trainer
from longtail.errors import UserError
from longtail.losses import build_loss
from longtail.methods import Method, Supervised
from longtail.stages import checks
from longtail.stages.train import train as train_stage
from tests.helpers.training import (
    BATCHES,
    CE,
    CONFIG,
    CONTRASTIVE,
    MIXUP,
    NCL,
    NCL_PLUS,
    FinishedRun,
    TinyConfig,
    assert_same,
    patch_step,
    read_records,
    stop_after,
    train,
    values,
)

GPU = torch.device("cuda", 0)
LOOP, STREAMS = ["TRAIN.CUDA_GRAPH", "loop"], ["TRAIN.CUDA_GRAPH", "streams"]
SHARP = [*NCL, "TRAIN.OPTIMIZER.SAM_RHO", 0.1]
COSINE = [*NCL, "TRAIN.LR_SCHEDULER.TYPE", "warmup_cosine"]
SMALL = ["INPUT_SIZE", [64, 64]]
DEFERRED = [
    *(*CE, "LOSS.LOSS_TYPE", "LDAMLoss", "CLASSIFIER.TYPE", "FCNorm"),
    *("TRAIN.TWO_STAGE.DRW", True, "TRAIN.TWO_STAGE.START_EPOCH", 2),
]


class Rerun:
    """A recorder that repeats the work, from Python, whenever it is replayed."""

    def __init__(self, device: torch.device) -> None:
        self.recordings = self.replays = 0
        self.work: Callable[[], Any] | None = None
        self.results: Any = None

    def warm_up(self, work: Callable[[], Any]) -> Any:
        return work()

    def record(self, work: Callable[[], Any]) -> None:
        self.recordings += 1
        self.work, self.results = work, None

    def replay(self) -> Any:
        self.replays += 1
        assert self.work
        results = self.work()
        if self.results is None:
            self.results = pytree.tree_map_only(Tensor, lambda new: new.detach().clone(), results)
        for static, new in zip(*map(pytree.tree_leaves, (self.results, results)), strict=True):
            if new is not None:
                static.copy_(new)
        return self.results


@pytest.fixture
def recorders(monkeypatch: pytest.MonkeyPatch) -> list[Rerun]:
    """Allow CUDA graphs on a CPU; return the recorders of the trainings."""
    made: list[Rerun] = []

    def recorder(device: torch.device) -> Rerun:
        made.append(Rerun(device))
        return made[-1]

    monkeypatch.setattr(cuda_graph, "CudaGraph", recorder)
    monkeypatch.setattr(checks, "check_cuda_graph", lambda cfg, place: None)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("how", [LOOP, STREAMS], ids=["loop", "streams"])
@pytest.mark.parametrize(
    "method",
    [
        CE,
        [*CE, "TRAIN.SAMPLER.TYPE", "bbn sampler"],
        NCL,
        NCL_PLUS,
        [*NCL, "TRAIN.OPTIMIZER.CLIP_NORM", 0.5],
        SHARP,
        COSINE,
        CONTRASTIVE,
    ],
    ids=["supervised", "partners", "nested", "plus", "clipped", "sharpness", "rate per step", "contrastive"],
)
def test_replayed_steps_give_the_same_run(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, recorders: list[Rerun], method: list[Any], how: list[Any]
) -> None:
    plain = finished_run(method=method)
    assert recorders == []
    replayed = train(tiny_cfg(*how, method=method))
    assert_same(values(plain), values(replayed))
    (recorder,) = recorders
    assert recorder.recordings == 1  # the loss is the same in all epochs
    assert recorder.replays == 3 * BATCHES - WARM_UP


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "recordings"),
    [
        ([*NCL, "LOSS.MULTI_CLASIIFIER_LOSS.RAMP_EPOCHS", 0], 1),
        ([*NCL, "LOSS.MULTI_CLASIIFIER_LOSS.RAMP_EPOCHS", 5], 3),  # its factor changes with every epoch
        (DEFERRED, 2),
    ],
    ids=["constant", "ramp", "deferred"],
)
def test_a_step_is_recorded_again_when_the_loss_has_changed(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, recorders: list[Rerun], method: list[Any], recordings: int
) -> None:
    plain = finished_run(method=method)
    assert_same(values(plain), values(train(tiny_cfg(*LOOP, method=method))))
    assert recorders[0].recordings == recordings


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2, BATCHES + 3])
def test_replayed_run_resumes_bit_by_bit(
    tiny_cfg: TinyConfig, finished_run: FinishedRun, recorders: list[Rerun], steps: int
) -> None:
    whole = finished_run(method=NCL)
    cfg = tiny_cfg(*LOOP, method=NCL)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted):
            train(cfg)
    assert_same(values(whole), values(train(cfg)))
    assert len(recorders) == 2


@pytest.mark.slow
def test_bad_replayed_step_is_named_and_does_not_change_the_weights(
    tiny_cfg: TinyConfig, recorders: list[Rerun], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainers: list[Trainer] = []
    before: dict[str, Tensor] = {}

    def poison(trainer: Trainer) -> None:
        trainers.append(trainer)
        if (trainer.epoch, trainer.batch) == (2, 1):
            network = trainer.training.network
            network.get_parameter("experts.0.head.weight").data[0, 0] = torch.inf
            before.update({name: value.clone() for name, value in network.named_parameters()})

    patch_step(monkeypatch, poison)
    with pytest.raises(NotFinite, match=r"epoch 2, batch 2 \(ce (nan|inf).*samples \d+ \d+"):
        train(tiny_cfg(*LOOP, method=CE))
    assert len(trainers) == 2 * BATCHES  # the result of the check is read at the end of the epoch
    for name, value in trainers[-1].training.network.named_parameters():
        assert torch.equal(value, before[name]), name


@pytest.mark.slow
def test_methods_that_decide_something_in_every_step_are_refused(tiny_cfg: TinyConfig, recorders: list[Rerun]) -> None:
    expected = r"^TRAIN\.CUDA_GRAPH is loop: training method mixup draws random numbers or makes decisions on"
    with pytest.raises(UserError, match=expected):
        train(tiny_cfg(*LOOP, method=MIXUP))


def test_check_cuda_graph_refuses_a_cpu(tiny_cfg: TinyConfig) -> None:
    with pytest.raises(UserError, match=r"^TRAIN\.CUDA_GRAPH is loop: it needs a GPU, and this run is on the CPU"):
        train(tiny_cfg(*LOOP))


def place(*devices: torch.device, world: int = 1, precision: str = "off") -> Place:
    return Place(World(size=world), devices or (GPU,), GPU, precision)


def test_check_cuda_graph_accepts_one_gpu(tiny_cfg: TinyConfig) -> None:
    check_cuda_graph(tiny_cfg(*LOOP), place(precision="bf16"))
    check_cuda_graph(tiny_cfg(), Place())


@pytest.mark.parametrize(
    ("overrides", "where", "mode"),
    [
        (SMALL, place(), "streams"),
        (["INPUT_SIZE", [64, 65]], place(), "off"),
        ([*SMALL, "TRAIN.OPTIMIZER.TYPE", "ADAM"], place(), "off"),
        (SMALL, place(world=2), "off"),
        (SMALL, Place(), "off"),
        (LOOP, place(), "loop"),
        (["TRAIN.CUDA_GRAPH", "off"], place(), "off"),
    ],
)
def test_graph_mode_of_auto_depends_on_what_is_possible(
    tiny_cfg: TinyConfig, overrides: list[Any], where: Place, mode: str
) -> None:
    cfg = tiny_cfg(*overrides)
    loss = build_loss(cfg, [2, 1])
    assert graph_mode(cfg, Supervised(nn.Identity(), loss), where) == mode
    check_cuda_graph(cfg, place(where.device) if mode == "off" else where)


def test_graph_mode_of_auto_is_off_for_methods_that_cannot_be_replayed(tiny_cfg: TinyConfig) -> None:
    method = Method(nn.Identity(), build_loss(tiny_cfg(), [2, 1]))
    assert graph_mode(tiny_cfg(), method, place()) == "off"


class Unrecordable(Rerun):
    """A recorder of steps that cannot be recorded."""

    def record(self, work: Callable[[], Any]) -> None:
        self.recordings += 1
        raise RuntimeError("operation not permitted when stream is capturing\nhint")


@pytest.mark.slow
def test_step_that_cannot_be_recorded_is_trained_without_or_refused(
    tiny_cfg: TinyConfig,
    finished_run: FinishedRun,
    recorders: list[Rerun],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = finished_run(method=NCL)
    recorder = Unrecordable(GPU)
    monkeypatch.setattr(cuda_graph, "CudaGraph", lambda device: recorder)
    monkeypatch.setattr(cuda_graph, "_obstacles", lambda cfg, place: [])
    assert_same(values(plain), values(train(tiny_cfg(*SMALL, method=NCL))))
    assert recorder.recordings == 1 and recorder.replays == 0
    assert "cannot be recorded as a CUDA graph (operation not permitted when stream is capturing)" in caplog.text
    with pytest.raises(
        UserError, match=r"^TRAIN\.CUDA_GRAPH: a step cannot be recorded \(.*capturing\); set it to off$"
    ):
        train(tiny_cfg(*LOOP, "NAME", "required", method=NCL))


@pytest.mark.parametrize(
    ("overrides", "where", "message"),
    [
        ([], place(GPU, torch.device("cuda", 1)), "this run has several"),
        ([], place(world=2), "this run has several"),
        ([], place(precision="fp16"), r"TRAIN\.AMP must be bf16 or off"),
        (["TRAIN.OPTIMIZER.TYPE", "ADAM"], place(), r"TRAIN\.OPTIMIZER\.TYPE must be SGD"),
    ],
)
def test_check_cuda_graph_refuses(tiny_cfg: TinyConfig, overrides: list[Any], where: Place, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_cuda_graph(tiny_cfg(*LOOP, *overrides), where)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("method", "how"),
    [
        (NCL, LOOP),
        (NCL, STREAMS),
        (NCL, [*STREAMS, "TRAIN.COMPILE", True]),
        (SHARP, STREAMS),
        (COSINE, STREAMS),
        (CONTRASTIVE, STREAMS),
    ],
    ids=["loop", "streams", "compiled", "sharpness", "rate per step", "contrastive"],
)
def test_cuda_graph_trains_as_the_plain_loop(tiny_cfg: TinyConfig, method: list[Any], how: list[Any]) -> None:
    losses = []
    for name, extra in (("plain", ["TRAIN.CUDA_GRAPH", "off"]), ("graph", how)):
        cfg = tiny_cfg("DROPOUT", False, *extra, "NAME", name, method=method)
        run = train_stage(cfg, CONFIG, place=Place(devices=(GPU,), device=GPU))
        assert run is not None
        losses.append([record["loss"] for record in read_records(run)])
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_step_that_waits_for_the_gpu_is_trained_without_a_graph(
    tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    step = Supervised.training_step

    def waiting(method: Supervised, batch: Any) -> Any:
        result = step(method, batch)
        assert float(result.loss) >= 0  # which a capture does not permit
        return result

    monkeypatch.setattr(Supervised, "training_step", waiting)
    losses = []
    for mode in ("off", "auto"):
        cfg = tiny_cfg("DROPOUT", False, *SMALL, "TRAIN.CUDA_GRAPH", mode, "NAME", mode, method=NCL)
        run = train_stage(cfg, CONFIG, place=Place(devices=(GPU,), device=GPU))
        assert run is not None
        losses.append([record["loss"] for record in read_records(run)])
    assert "cannot be recorded as a CUDA graph" in caplog.text
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
