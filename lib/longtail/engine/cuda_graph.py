"""Training steps recorded as a CUDA graph, then replayed.

A step of small networks consists of thousands of short kernels, and the GPU waits for the host, which launches them one
by one. A CUDA graph launches them all at once. It repeats the recorded work at the recorded addresses: every batch is
copied to the static batch, the learning rate is read from the device, and decisions of the host are not repeated. So
only methods without decisions on the host in each step can be replayed (`Method.supports_cuda_graph`). An epoch may
change the method or its loss; then the step is recorded again.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data import SMALL_SIDE, Batch
from longtail.distributed import Place
from longtail.engine.device_rates import DeviceRates
from longtail.engine.finite_guard import FiniteGuard, Where
from longtail.engine.host_state import HostState
from longtail.errors import UserError
from longtail.methods import Method, Step
from longtail.models.wrapping import unwrap

logger = logging.getLogger(__name__)

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
            except BaseException:
                with contextlib.suppress(RuntimeError):  # an invalid recording cannot be ended without an error
                    graph.capture_end()
                raise
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
        optional: Train without recording if a step cannot be recorded, instead of refusing it.
    """

    def __init__(self, train_step: TrainStep, recorder: Recorder, *, guard: FiniteGuard, optional: bool) -> None:
        self.train_step = train_step
        self.recorder = recorder
        self.guard = guard
        self.optional = optional
        self.warm = 0  # warm-up steps done
        self.static_batch: Batch | None = None  # None: nothing is recorded
        self.rates: DeviceRates | None = None
        self._recorded_for: HostState | None = None
        self._impossible = False  # a step cannot be recorded

    def begin_epoch(self, method: Method) -> None:
        """Discard the recording if the method has changed since; its network never changes between epochs."""
        state = HostState(method, skip=unwrap(method.network))
        if state != self._recorded_for:
            self._recorded_for, self.static_batch = state, None

    def __call__(self, batch: Batch, where: Where) -> tuple[Step, Tensor | None]:
        """Train on a batch; the results are valid until the next batch.

        Raises:
            UserError: The step cannot be recorded, and `optional` is False.
        """
        if self._impossible:
            return self.train_step(batch, where)[:2]
        if self.warm < WARM_UP:
            self.warm += 1
            step, norm, _ = self.recorder.warm_up(lambda: self.train_step(batch, where))
            return step, norm
        if self.static_batch is None:
            self.static_batch = batch.map(torch.clone)
            self.rates = self.rates or DeviceRates(self.guard.optimizer, batch.labels.device)
            try:
                self.recorder.record(self._work)
            except RuntimeError as error:
                self._give_up(error)
                return self(batch, where)
        assert self.rates
        self.rates.update()
        self.static_batch.copy_(batch)
        step, norm, verdict = self.recorder.replay()
        verdict = verdict.clone()  # the next step overwrites it, and the guard reads it later
        parts = dict(zip(step.parts, verdict[1:], strict=True))
        self.guard.note(where, verdict[0].bool(), parts=parts)
        return step, norm

    def _give_up(self, error: RuntimeError) -> None:
        """Train without recording from now on, or refuse the step."""
        reason = str(error).split("\n")[0]
        if not self.optional:
            raise UserError(f"TRAIN.CUDA_GRAPH: a step cannot be recorded ({reason}); set it to off") from error
        logger.warning("a step cannot be recorded as a CUDA graph (%s); training continues without", reason)
        self._impossible, self.static_batch = True, None

    def _work(self) -> Result:
        """Return the step on the static batch, the gradient norm and a vector: finite (0 or 1), then the loss parts."""
        assert self.static_batch and self.rates
        with self.rates.used():
            step, norm, finite = self.train_step(self.static_batch, None)
        return step, norm, torch.stack([value.float() for value in (finite, *step.parts.values())])


def check_cuda_graph(cfg: CfgNode, place: Place) -> None:
    """Refuse TRAIN.CUDA_GRAPH where it cannot work, before any data is read.

    Raises:
        UserError: It cannot; the message gives the reason and what to do.
    """
    if cfg.TRAIN.CUDA_GRAPH in ("off", "auto"):
        return
    for reason in _obstacles(cfg, place):
        raise UserError(f"TRAIN.CUDA_GRAPH is {cfg.TRAIN.CUDA_GRAPH}: {reason}; or set it to off")


def _obstacles(cfg: CfgNode, place: Place) -> list[str]:
    """Return the reasons why steps cannot be recorded."""
    reasons = {
        "it needs a GPU, and this run is on the CPU": place.device.type != "cuda",
        "it works on one GPU, and this run has several": len(place.devices) > 1 or place.world.size > 1,
        "fp16 changes its scale from step to step; TRAIN.AMP must be bf16 or off": place.precision == "fp16",
        "only SGD is supported; TRAIN.OPTIMIZER.TYPE must be SGD": cfg.TRAIN.OPTIMIZER.TYPE != "SGD",
    }
    return [reason for reason, holds in reasons.items() if holds]


def graph_mode(cfg: CfgNode, method: Method, place: Place) -> str:
    """Return how steps are recorded: "off", "loop" or "streams"; TRAIN.CUDA_GRAPH, or the choice of "auto".

    "auto" chooses streams where they are possible and the images are small: only then does the GPU wait for the host.

    Raises:
        UserError: The method cannot be replayed.
    """
    mode: str = cfg.TRAIN.CUDA_GRAPH
    if mode == "auto":
        possible = method.supports_cuda_graph and not _obstacles(cfg, place)
        return "streams" if possible and max(cfg.INPUT_SIZE) <= SMALL_SIDE else "off"
    if mode != "off" and not method.supports_cuda_graph:
        raise UserError(
            f"TRAIN.CUDA_GRAPH is {mode}: training method {cfg.TRAIN.COMBINER.TYPE} draws random "
            "numbers or makes decisions on the host in every step; set it to off"
        )
    return mode


def build_recorder(mode: str, place: Place) -> Recorder | None:
    """Build the recorder of a mode; None for "off"."""
    return None if mode == "off" else CudaGraph(place.device)


def expert_streams(mode: str, place: Place, number: int) -> list[Any]:
    """Return the streams in which the experts run in parallel; empty unless the mode is "streams"."""
    if mode != "streams" or number == 1:
        return []
    return [torch.get_device_module(place.device).Stream() for _ in range(number)]
