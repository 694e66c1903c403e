"""Base class of all training methods: a batch becomes a loss and logits."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

from torch import Tensor, nn

from longtail.data import Batch
from longtail.losses import Loss, Prediction, total
from longtail.models import Output
from longtail.models.wrapping import unwrap

Draw = Callable[[Path], None]  # writes a figure to a path


class Mixed(NamedTuple):
    """Second targets of rows that are mixtures of two images.

    Attributes:
        targets: Class ids, (N,).
        lam: Weight of the first targets in loss and accuracy, () or one per row (N,); the second targets have 1 - lam.
    """

    targets: Tensor
    lam: Tensor


class Step(NamedTuple):
    """Result of a training step before backward.

    Attributes:
        loss: Scalar to minimize.
        logits: (E, N, C) with N = V*B rows ordered view by view; without gradients, for the training accuracy.
        targets: Class ids of the rows, (N,).
        parts: Terms of the loss, detached scalars.
        mixed: Second targets if the rows are mixtures.
    """

    loss: Tensor
    logits: Tensor
    targets: Tensor
    parts: dict[str, Tensor]
    mixed: Mixed | None = None

    @classmethod
    def of(cls, terms: Mapping[str, Tensor], output: Output, *, targets: Tensor, mixed: Mixed | None = None) -> "Step":
        """Return the step whose loss is the sum of the terms."""
        parts = {name: term.detach() for name, term in terms.items()}
        return cls(total(terms.values()), output.logits.detach(), targets, parts, mixed)


class TrainingData(Protocol):
    """The training set as a method sees it.

    Attributes:
        class_counts: Training images per class, (C,).
        labels: Class ids of all N training images, (N,).
    """

    class_counts: Sequence[int]
    labels: Tensor

    def outputs(self, network: nn.Module, view: str = "clean") -> Output:
        """Return the outputs of a network for all N training images, in their order, on every process.

        Args:
            network: Images to `Output`; evaluated without gradients.
            view: "clean" (as in evaluation) or "train" (augmented).
        """


class Method(nn.Module):
    """A training method.

    Its `state_dict` holds the state between steps, without the network; all numbers must be finite, otherwise a
    checkpoint is refused. Learnable parts of a method are submodules that `trainable` returns under their attribute
    names.

    Args:
        network: Images to `Output`.
        loss: Loss to minimize.

    Attributes:
        network: The network; wrapped for several devices after `wrap` was called.
        supports_cuda_graph: Whether a step draws random numbers and makes decisions only on the device.
    """

    network: Callable[..., Output]
    supports_cuda_graph: ClassVar[bool] = False

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.__dict__["network"] = network  # not a submodule: the trainer saves it apart from the method
        self.loss = loss

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 1; must depend only on the epoch, because it is also called after a resume."""
        self.loss.set_epoch(epoch)

    def on_epoch_start(self, epoch: int, data: TrainingData) -> None:
        """Prepare an epoch before its first batch.

        The result must be part of the `state_dict`, because a resume inside the epoch does not call this again.
        """

    def training_step(self, batch: Batch) -> Step:
        """Return loss and logits of a batch whose images are normalized."""
        raise NotImplementedError

    def on_step_end(self) -> None:
        """Update momentum encoders, averages and the like, after the optimizer."""

    def trainable(self) -> dict[str, nn.Module]:
        """Return the modules that are wrapped for several devices, optimized and saved, by attribute name."""
        return {"network": unwrap(self.network)}

    def evaluated(self) -> nn.Module:
        """Return the unwrapped network to evaluate."""
        return unwrap(self.network)

    def figures(self, data: TrainingData) -> Mapping[str, Draw]:
        """Return the figures of a finished training, by file name.

        Called in every process, so that `data.outputs` can be used; the main process draws.
        """
        return {}

    def wrap(self, wrap: Callable[[nn.Module], nn.Module]) -> None:
        """Wrap the trainable modules for several devices; `self.<name>` is the wrapped module from now on.

        The `state_dict` keeps the names of the unwrapped modules.
        """
        for name, module in self.trainable().items():
            self.__dict__[name] = wrap(unwrap(module))


def stacked_views(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return all views of a batch as rows, view by view: images (V*B, 3, H, W) and targets (V*B,)."""
    return batch.images.flatten(0, 1), batch.labels.repeat(len(batch.images))


def loss_terms(
    loss: Loss,
    output: Output,
    *,
    targets: Tensor,
    teacher_logits: Tensor | None = None,
    row_weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the terms of a loss: of all heads at once if the loss is nested, else summed over the heads.

    Args:
        loss: Loss.
        output: Output of the network for N rows.
        targets: Class ids of the rows, (N,); or soft targets (N, C), for losses that take them.
        teacher_logits: Logits of a teacher for each head, (E, N, C); for distillation.
        row_weights: Factor of the loss of each row, (N,); for losses with `weighs_rows`.
    """
    loss.check_targets(targets)
    if loss.nested:
        return loss.terms(Prediction(output.logits, targets, None, teacher_logits, row_weights))
    teachers = [None] * len(output.logits) if teacher_logits is None else list(teacher_logits)
    heads = [
        loss.terms(Prediction(logits, targets, features, teacher, row_weights))
        for logits, features, teacher in zip(output.logits, output.features, teachers, strict=True)
    ]
    return {name: total(terms[name] for terms in heads) for name in heads[0]}
