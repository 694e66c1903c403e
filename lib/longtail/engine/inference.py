"""Outputs of a network for all images of a loader: for evaluation, sweeps, class activation maps and clustering."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from longtail.data import Batch, Loader, Normalize
from longtail.distributed import Place, gather_to_all, share_buffers, sum_over_processes
from longtail.engine.diagnose import find_non_finite
from longtail.engine.finite_guard import NotFinite
from longtail.evaluation import Evaluator, SampleRecorder
from longtail.models import Output


class Stopped(Exception):
    """A pass over images was asked to stop."""


def never() -> bool:
    """Return False: do not stop."""
    return False


@torch.no_grad()
def outputs(
    network: nn.Module,
    loader: Loader,
    *,
    normalize: Normalize,
    place: Place,
    epoch: int = 1,
    should_stop: Callable[[], bool] = never,
) -> Iterator[tuple[Batch, Output]]:
    """Yield (batch, output of its first view) for this process's shard of a loader.

    Args:
        network: Images to `Output`; the unwrapped network, which is left in evaluation mode.
        loader: Loader of this process's shard.
        normalize: uint8 images to the network's input.
        place: Device and precision.
        epoch: Epoch of the loader.
        should_stop: Called before every batch.

    Raises:
        Stopped: `should_stop` returned True.
    """
    network.eval()
    for loaded in loader.epoch(epoch):
        if should_stop():
            raise Stopped
        batch = loaded.to(place.device)
        with place.autocast():
            output = network(normalize(batch.images)[0])
        yield batch, output


def evaluate(
    network: nn.Module,
    loader: Loader,
    evaluator: Evaluator,
    *,
    normalize: Normalize,
    place: Place,
    should_stop: Callable[[], bool] = never,
    recorder: SampleRecorder | None = None,
) -> Evaluator:
    """Count the predictions of a network for every sample of a split, once each, over all processes.

    Args:
        network, loader, normalize, place, should_stop: See `outputs`.
        evaluator: Empty evaluator, which holds the sum over all processes afterwards.
        recorder: Stores the predictions of this process's samples.

    Raises:
        Stopped: `should_stop` returned True.
        NotFinite: Logits are not finite; the message names the parameter or module.
    """
    images = None
    for batch, output in outputs(network, loader, normalize=normalize, place=place, should_stop=should_stop):
        evaluator.update(output.logits.float(), batch.labels)
        if recorder is not None:
            recorder.update(output.logits, batch.labels, batch.indices)
        images = batch.images if images is None else images
    sum_over_processes(evaluator.to(place.device).state())
    if evaluator.non_finite():
        with place.autocast():
            where = find_non_finite(network, None if images is None else normalize(images)[0])
        raise NotFinite(
            f"{evaluator.non_finite():,} samples have logits that are not finite; {where or 'the cause was not found'}"
        )
    return evaluator


class TrainingSet:
    """The training set as a method sees it; see `longtail.methods.TrainingData`.

    Args:
        class_counts: Training images per class, (C,).
        labels: Class ids of all N training images, (N,).
        ordered_loader: View ("clean" or "train") -> loader of this process's shard of all training images, in order.
        normalize: uint8 images to the network's input.
        place: Device, precision and processes.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        labels: Tensor,
        *,
        ordered_loader: Callable[[str], Loader],
        normalize: Normalize,
        place: Place,
    ) -> None:
        self.class_counts = class_counts
        self.labels = labels
        self.epoch = 1
        self._should_stop: Callable[[int], Callable[[], bool]] = lambda batches: never
        self._ordered_loader = ordered_loader
        self._normalize = normalize
        self._place = place

    @contextmanager
    def stoppable(self, should_stop: Callable[[int], Callable[[], bool]]) -> Iterator[None]:
        """Within the block, `outputs` stops on request.

        Args:
            should_stop: Number of batches of this process -> function that is called before every batch.
        """
        before, self._should_stop = self._should_stop, should_stop
        try:
            yield
        finally:
            self._should_stop = before

    def outputs(self, network: nn.Module, view: str = "clean", *, logits: bool = True) -> Output:
        """Return the outputs of a network for all N training images, in their order, on every process, in main memory.

        Buffers (batch-norm statistics) become those of process 0 in every process.

        Args:
            network: Images to `Output`; the unwrapped network, whose training mode is restored.
            view: "clean" (as in evaluation) or "train" (augmented, with random numbers of the current epoch).
            logits: False leaves the logits out, (E, N, 0); for many images and classes they need much memory.

        Raises:
            Stopped: See `stoppable`.
        """
        training, loader = network.training, self._ordered_loader(view)
        share_buffers(network)
        pairs = [
            (batch.indices.cpu(), _to_host(output if logits else output._replace(logits=output.logits[..., :0])))
            for batch, output in outputs(
                network,
                loader,
                normalize=self._normalize,
                place=self._place,
                epoch=self.epoch,
                should_stop=self._should_stop(len(loader)),
            )
        ]
        network.train(training)
        return _in_order([pair for part in gather_to_all(pairs) for pair in part], number=len(self.labels))


def _to_host(output: Output) -> Output:
    """Return an output in main memory, in float32."""

    def moved(field: Any) -> Any:
        if isinstance(field, tuple):
            return tuple(tensor.float().cpu() for tensor in field)
        return None if field is None else field.float().cpu()

    return Output(*map(moved, output))


def _in_order(pairs: list[tuple[Tensor, Output]], *, number: int) -> Output:
    """Return one output whose rows are sorted by index; every index occurs once."""
    indices = torch.cat([indices for indices, _ in pairs])
    order = indices.argsort()
    assert torch.equal(indices[order], torch.arange(number)), "every training image must be encoded once"

    def joined(fields: Sequence[Any]) -> Any:
        if fields[0] is None:
            return None
        if isinstance(fields[0], tuple):
            return tuple(torch.cat(heads)[order] for heads in zip(*fields, strict=True))
        return torch.cat(list(fields), dim=1)[:, order]

    return Output(*(joined(fields) for fields in zip(*(output for _, output in pairs), strict=True)))
