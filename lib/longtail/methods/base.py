"""What every training method is: a batch becomes a loss and logits."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.config import method_name
from longtail.data import Batch
from longtail.losses import Loss
from longtail.models import Output
from longtail.registry import Registry


class Mixed(NamedTuple):
    """The second targets of rows that are mixtures of two images.

    Attributes:
        targets: class ids, (N,).
        share: of the first targets in loss and accuracy, scalar; the second have the rest.
    """

    targets: Tensor
    share: Tensor


class Step(NamedTuple):
    """What a method makes of one batch.

    Attributes:
        loss: scalar to minimise.
        logits: (E, N, C), N = V*B rows ordered view by view; without gradients, for the training accuracy.
        targets: class ids of the rows, (N,).
        parts: the terms of the loss, detached scalars.
        mixed: for rows that are mixtures; `targets` are then the first ones.
    """

    loss: Tensor
    logits: Tensor
    targets: Tensor
    parts: dict[str, Tensor]
    mixed: Mixed | None = None


class Method(nn.Module):
    """A training method; its `state_dict` holds what it must remember between steps, the network not included.

    Args:
        network: a `Network`, or one wrapped for several devices.
        loss: what is minimised.
    """

    network: Callable[..., Output]
    repeatable: ClassVar[bool] = False  # a step draws and decides nothing outside of the device (TRAIN.CUDA_GRAPH)

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.__dict__["network"] = network  # not a submodule: its parameters are saved and moved by the trainer
        self.loss = loss

    def set_epoch(self, epoch: int) -> None:
        """Tell the method which epoch (from 1) is trained."""
        self.loss.set_epoch(epoch)

    def training_step(self, batch: Batch) -> Step:
        """Return loss and logits of a batch whose images are normalised."""
        raise NotImplementedError


def stacked_views(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return all views of a batch as rows, view by view: images (V*B, 3, H, W) and targets (V*B,)."""
    views = len(batch.images)
    return batch.images.flatten(0, 1), batch.labels.repeat(views)


def joined(batch: Batch) -> Batch:
    """Return a batch and its partner as one batch, the partner's samples behind; without a partner, the batch."""
    if batch.partner is None:
        return batch
    partner = batch.partner
    return Batch(
        torch.cat([batch.images, partner.images], dim=1),
        torch.cat([batch.labels, partner.labels]),
        torch.cat([batch.indices, partner.indices]),
    )


def expert_terms(
    loss: Loss, output: Output, targets: Tensor, teacher_logits: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the terms of a loss that looks at one expert, each summed over the experts.

    Args:
        loss: of one expert.
        output: of the network.
        targets: class ids of the rows, (N,).
        teacher_logits: for each expert, (E, N, C); for distillation.
    """
    teachers = [None] * len(output.logits) if teacher_logits is None else teacher_logits
    each = [
        loss.terms(logits, targets, features, teacher)
        for logits, features, teacher in zip(output.logits, output.features, teachers, strict=True)
    ]
    return {name: torch.stack([one[name] for one in each]).sum() for name in each[0]}


METHODS: Registry[Callable[[CfgNode, nn.Module, Loss], Method]] = Registry("training method")


def build_method(cfg: CfgNode, network: nn.Module, loss: Loss) -> Method:
    """Build the training method called TRAIN.COMBINER.TYPE.

    Raises:
        UserError: there is no such method, or it does not go with the loss.
    """
    return METHODS.get(method_name(cfg))(cfg, network, loss)
