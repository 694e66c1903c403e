"""Training steps that are recorded once an epoch and then replayed (TRAIN.CUDA_GRAPH).

A step of small networks is thousands of short kernels, and a GPU waits for the host that launches them one by one. A
CUDA graph launches them all at once. It repeats the recorded work on the recorded addresses: every batch is copied to
the place of the first, and whatever the host decided stays as it was. So only methods whose host decides nothing in a
step can be replayed (`Method.repeatable`), and learning rates and losses, which may change from epoch to epoch, are
recorded anew in each.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.engine.distributed import World
from longtail.engine.stepping import Stepper
from longtail.errors import UserError
from longtail.methods import Method, Step
from longtail.models import Network

WARM_UP = 3  # ordinary steps before the first recording, in which libraries choose kernels and take their memory
T = TypeVar("T")


class Recorder(Protocol):
    """Records work for a device, and replays it."""

    def warm_up(self, work: Callable[[], T]) -> T:
        """Do the work once, in the way in which it will be recorded."""

    def record(self, work: Callable[[], Any]) -> None:
        """Record the work, in place of what was recorded before, without doing it."""

    def replay(self) -> Any:
        """Do the recorded work and return its results, which lie where those of the last replay lay."""


class CudaGraph:
    """The recorder of a GPU.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.results: Any = None

    def warm_up(self, work: Callable[[], T]) -> T:
        """See `Recorder`."""
        usual = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(usual)
        with torch.cuda.stream(self.stream):
            results = work()
        usual.wait_stream(self.stream)
        return results

    def record(self, work: Callable[[], Any]) -> None:
        """See `Recorder`."""
        torch.cuda.synchronize(self.stream.device)  # the newest replay may still run in the memory that is taken anew
        self.results = None
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self.stream):
            graph.capture_begin(self.pool, capture_error_mode="thread_local")  # loaders have threads that know nothing
            try:
                self.results = work()
            finally:
                graph.capture_end()
        self.graph = graph  # the one before had to live until here, or the pool would have died with it

    def replay(self) -> Any:
        """See `Recorder`."""
        assert self.graph
        self.graph.replay()
        return self.results


class RecordedStepper:
    """Trains on one batch after another by replaying a step, see the module.

    Args:
        stepper: whose steps are recorded.
        recorder: of the device.
    """

    def __init__(self, stepper: Stepper, recorder: Recorder) -> None:
        self.stepper = stepper
        self.recorder = recorder
        self.warm = 0  # steps of warming up that are done
        self.place: Batch | None = None  # of every batch; None: nothing is recorded

    def begin_epoch(self) -> None:
        """Forget what is recorded: learning rate and loss may have changed."""
        self.place = None

    def __call__(self, batch: Batch, epoch: int, number: int) -> tuple[Step, Tensor | None]:
        """Train on a batch, see `Stepper`; the results hold until the next batch."""
        if self.warm < WARM_UP:
            self.warm += 1
            return self.recorder.warm_up(lambda: self.stepper(batch, epoch, number))
        if self.place is None:
            self.place = batch.map(torch.clone)
            self.recorder.record(self._work)
        self.place.copy_(batch)
        step, norm, verdict = self.recorder.replay()
        told = verdict.clone()  # the place is taken again by the next step, and the guard reads later
        parts = dict(zip(step.parts, told[1:], strict=True))
        self.stepper.guard.note(epoch, number, told[0].bool(), parts, batch.all_indices)
        return step, norm

    def _work(self) -> tuple[Step, Tensor | None, Tensor]:
        """Return the step on what lies at the place, the norm, and one vector: whether it is finite, and its parts."""
        assert self.place
        step, norm = self.stepper.differentiate(self.place)
        finite = self.stepper.guard.judge(step, norm)
        self.stepper.apply()
        return step, norm, torch.stack([value.float() for value in (finite, *step.parts.values())])


def check_recordable(cfg: CfgNode, devices: list[torch.device], world: World, precision: str) -> None:
    """Refuse TRAIN.CUDA_GRAPH where it cannot work, before any data is read.

    Args:
        cfg: the configuration tree.
        devices: of the command line.
        world: the processes of the run.
        precision: off, bf16 or fp16.

    Raises:
        UserError: says why, and what to do.
    """
    if cfg.TRAIN.CUDA_GRAPH == "off":
        return
    reasons = {
        "it needs a GPU, and this run is on the CPU": devices[0].type != "cuda",
        "it works on one GPU, and this run has several": len(devices) > 1 or world.size > 1,
        "fp16 changes its scale from step to step; TRAIN.AMP must be bf16 or off": precision == "fp16",
        "ADAM counts its steps on the host; TRAIN.OPTIMIZER.TYPE must be SGD": cfg.TRAIN.OPTIMIZER.TYPE == "ADAM",
        "it has not been tried with compiled experts; TRAIN.COMPILE must be False": cfg.TRAIN.COMPILE,
    }
    for reason, holds in reasons.items():
        if holds:
            raise UserError(f"TRAIN.CUDA_GRAPH is {cfg.TRAIN.CUDA_GRAPH}: {reason}; off trains without")


def build_recorder(cfg: CfgNode, network: Network, method: Method, device: torch.device) -> Recorder | None:
    """Build the recorder of TRAIN.CUDA_GRAPH, and let the experts run as it says; None where it is off.

    Args:
        cfg: the configuration tree.
        network: not wrapped.
        method: that trains it.
        device: of both.

    Raises:
        UserError: the method cannot be replayed.
    """
    if cfg.TRAIN.CUDA_GRAPH == "off":
        return None
    if not method.repeatable:
        raise UserError(
            f"TRAIN.CUDA_GRAPH is {cfg.TRAIN.CUDA_GRAPH}: training method {cfg.TRAIN.COMBINER.TYPE} draws or decides "
            "something anew in every step; off trains without"
        )
    if cfg.TRAIN.CUDA_GRAPH == "streams":
        network.streams = [torch.get_device_module(device).Stream() for _ in network.experts]
    return CudaGraph(device)
