"""EXPERIMENTAL, not yet run on a GPU: training steps recorded as a CUDA graph once per epoch, then replayed.

A step of small networks consists of thousands of short kernels, and the GPU waits for the host, which launches them one
by one. A CUDA graph launches them all at once. It repeats the recorded work at the recorded addresses: every batch is
copied to the static batch, and decisions of the host are not repeated. So only methods without decisions on the host
can be replayed (`Method.supports_cuda_graph`). Learning rate and loss may change between epochs, so a step is recorded
again in each epoch.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.distributed import Place
from longtail.engine.finite_guard import FiniteGuard, Where
from longtail.engine.optim import build_schedule
from longtail.errors import UserError
from longtail.methods import Method, Step

WARM_UP = 3  # normal steps before the first recording, in which libraries choose kernels and allocate memory
T = TypeVar("T")
Result = tuple[Step, Tensor | None, Tensor]  # step, gradient norm, verdict
TrainStep = Callable[[Batch, Where | None], Result]


class Recorder(Protocol):
    """Records work for a device, and replays it."""

    def warm_up(self, work: Callable[[], T]) -> T:
        """Do the work once, in the same way as it will be recorded."""

    def record(self, work: Callable[[], Any]) -> None:
        """Record the work without doing it, replacing the previous recording."""

    def replay(self) -> Any:
        """Do the recorded work and return its results, in the same memory as those of the last replay."""


class CudaGraph:
    """Recorder of a GPU.

    Args:
        device: GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.results: Any = None

    def warm_up(self, work: Callable[[], T]) -> T:
        """See `Recorder`."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            results = work()
        current.wait_stream(self.stream)
        return results

    def record(self, work: Callable[[], Any]) -> None:
        """See `Recorder`."""
        torch.cuda.synchronize(self.stream.device)  # the latest replay may still use the memory that is reused
        self.results = None
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self.stream):
            graph.capture_begin(self.pool, capture_error_mode="thread_local")  # loaders run in other threads
            try:
                self.results = work()
            finally:
                graph.capture_end()
        self.graph = graph  # only now: the pool would be freed with the previous graph

    def replay(self) -> Any:
        """See `Recorder`."""
        assert self.graph
        self.graph.replay()
        return self.results


class GraphStep:
    """Trains on each batch by replaying a recorded training step, see the module.

    Args:
        train_step: Step to record.
        recorder: Recorder of the device.
        guard: Guard that checks every replay.
    """

    def __init__(self, train_step: TrainStep, recorder: Recorder, *, guard: FiniteGuard) -> None:
        self.train_step = train_step
        self.recorder = recorder
        self.guard = guard
        self.warm = 0  # warm-up steps done
        self.static_batch: Batch | None = None  # None: nothing is recorded

    def begin_epoch(self) -> None:
        """Discard the recording: learning rate and loss may have changed."""
        self.static_batch = None

    def __call__(self, batch: Batch, where: Where) -> tuple[Step, Tensor | None]:
        """Train on a batch; the results are valid until the next batch."""
        if self.warm < WARM_UP:
            self.warm += 1
            step, norm, _ = self.recorder.warm_up(lambda: self.train_step(batch, where))
            return step, norm
        if self.static_batch is None:
            self.static_batch = batch.map(torch.clone)
            self.recorder.record(self._work)
        self.static_batch.copy_(batch)
        step, norm, verdict = self.recorder.replay()
        verdict = verdict.clone()  # the next step overwrites it, and the guard reads it later
        parts = dict(zip(step.parts, verdict[1:], strict=True))
        self.guard.note(where, verdict[0].bool(), parts=parts)
        return step, norm

    def _work(self) -> Result:
        """Return the step on the static batch, the gradient norm and a vector: finite (0 or 1), then the loss parts."""
        assert self.static_batch
        step, norm, finite = self.train_step(self.static_batch, None)
        return step, norm, torch.stack([value.float() for value in (finite, *step.parts.values())])


def check_cuda_graph(cfg: CfgNode, place: Place) -> None:
    """Refuse TRAIN.CUDA_GRAPH where it cannot work, before any data is read.

    Raises:
        UserError: It cannot; the message gives the reason and what to do.
    """
    if cfg.TRAIN.CUDA_GRAPH == "off":
        return
    reasons = {
        "it needs a GPU, and this run is on the CPU": place.device.type != "cuda",
        "it works on one GPU, and this run has several": len(place.devices) > 1 or place.world.size > 1,
        "fp16 changes its scale from step to step; TRAIN.AMP must be bf16 or off": place.precision == "fp16",
        "only SGD is supported; TRAIN.OPTIMIZER.TYPE must be SGD": cfg.TRAIN.OPTIMIZER.TYPE != "SGD",
        "the learning rate must not change inside an epoch; set another TRAIN.LR_SCHEDULER.TYPE": build_schedule(
            cfg
        ).per_step,
        "it is untested with compiled experts; TRAIN.COMPILE must be False": cfg.TRAIN.COMPILE,
    }
    for reason, holds in reasons.items():
        if holds:
            raise UserError(f"TRAIN.CUDA_GRAPH is {cfg.TRAIN.CUDA_GRAPH}: {reason}; or set it to off")


def build_recorder(cfg: CfgNode, method: Method, place: Place) -> Recorder | None:
    """Build the recorder of TRAIN.CUDA_GRAPH; None if it is off.

    Raises:
        UserError: The method cannot be replayed.
    """
    if cfg.TRAIN.CUDA_GRAPH == "off":
        return None
    if not method.supports_cuda_graph:
        raise UserError(
            f"TRAIN.CUDA_GRAPH is {cfg.TRAIN.CUDA_GRAPH}: training method {cfg.TRAIN.COMBINER.TYPE} draws random "
            "numbers or makes decisions on the host in every step; set it to off"
        )
    return CudaGraph(place.device)


def expert_streams(cfg: CfgNode, place: Place, number: int) -> list[Any]:
    """Return the streams in which the experts run in parallel; empty if TRAIN.CUDA_GRAPH does not ask for them."""
    if cfg.TRAIN.CUDA_GRAPH != "streams":
        return []
    return [torch.get_device_module(place.device).Stream() for _ in range(number)]
