"""A small training with the method subclass_contrastive, for tests in one and in several processes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.data import Batch
from longtail.losses import build_loss
from longtail.methods import SubclassContrastive, build_method
from longtail.models import Network, Output, build_model
from tests.helpers import contrastive_training  # registers the backbones small and small_norm

COUNTS = [12, 6, 3, 2]  # 6, 3, 1 and 1 subclasses
SUBCLASS = "TRAIN.COMBINER.SUBCLASS"
IN_BATCH = ["NETWORK.PROJECTION_DIM", 5]
QUEUE = ["NETWORK.MOCO", True, "NETWORK.MOCO_K", 16, "NETWORK.MOCO_DIM", 5, "NETWORK.MA_MODEL_ALPHA", 0.9]
SETTINGS: list[Any] = [
    *("TRAIN.COMBINER.TYPE", "subclass_contrastive", "DATASET.VIEWS", ["none", "none"]),
    *("LOSS.LOSS_TYPE", "CrossEntropy", f"{SUBCLASS}.WARM_EPOCHS", 1, f"{SUBCLASS}.EVERY", 2, f"{SUBCLASS}.DELTA", 2),
]


class Images:
    """A training set of random images of 8 x 8 pixels; see `TrainingData`."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(5)
        self.class_counts: Sequence[int] = COUNTS
        self.labels = torch.arange(4).repeat_interleave(torch.tensor(COUNTS))[torch.randperm(23, generator=random)]
        colors = torch.randn(23, 3, 1, 1, generator=random)  # so that rounding does not decide about subclasses
        self.images = colors + torch.randn(2, 23, 3, 8, 8, generator=random) / 2
        self.views: list[str] = []

    def outputs(self, network: nn.Module, view: str = "clean") -> Output:
        """Return the outputs of a network for the first view of all images."""
        self.views.append(view)
        training = network.training
        with torch.no_grad():
            output: Output = network.eval()(self.images[0])
        network.train(training)
        return output

    def batch(self, number: int, *, rank: int = 0, world: int = 1, size: int = 6) -> Batch:
        """Return a process's part of the batch of a number."""
        indices = torch.randperm(23, generator=torch.Generator().manual_seed(number))[:size]
        indices = indices[rank * size // world : (rank + 1) * size // world]
        return Batch(self.images[:, indices], self.labels[indices], indices)


def build(
    kind: list[Any],
    *overrides: Any,
    data: Images | None = None,
    backbone: str = "small",
    wrap: Callable[[nn.Module], nn.Module] | None = None,
) -> tuple[SubclassContrastive, Network]:
    """Return method and network.

    Args:
        kind: `IN_BATCH` or `QUEUE`.
        overrides: KEY, VALUE, ...
        data: Training set.
        backbone: Small or small_norm.
        wrap: Wraps the network.
    """
    assert contrastive_training.COUNTS
    cfg = load_config(None, [*SETTINGS, *kind, "BACKBONE.TYPE", backbone, *overrides])
    torch.manual_seed(0)
    network = build_model(cfg, len(COUNTS))
    method = build_method(cfg, network, build_loss(cfg, COUNTS), data or Images())
    assert isinstance(method, SubclassContrastive) and isinstance(network, Network)
    if wrap:
        method.wrap(wrap)
    return method, network


def step(method: SubclassContrastive, network: nn.Module, batch: Batch) -> Tensor:
    """Take one step of gradient descent with the rate 0.1; return the loss."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    loss = method.training_step(batch).loss
    gradients = torch.autograd.grad(loss, parameters) if method.network is network else _accumulated(loss, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(gradient, alpha=0.1)
    return loss.detach()


def _accumulated(loss: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    """Return the gradients that the backward pass of DistributedDataParallel leaves."""
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
