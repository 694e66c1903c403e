"""What every training method is: a batch becomes a loss and logits."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.config import method_name
from longtail.data import Batch
from longtail.losses import Loss
from longtail.models import Output
from longtail.registry import Registry


class Step(NamedTuple):
    """What a method makes of one batch.

    Attributes:
        loss: scalar to minimise.
        logits: (E, N, C), N = V*B rows ordered view by view; without gradients, for the training accuracy.
        targets: class ids of the rows, (N,).
        parts: the terms of the loss, detached scalars.
    """

    loss: Tensor
    logits: Tensor
    targets: Tensor
    parts: dict[str, Tensor]


class Method(nn.Module):
    """A training method; its `state_dict` holds what it must remember between steps, the network not included.

    Args:
        network: a `Network`, or one wrapped for several devices.
        loss: what is minimised.
    """

    network: Callable[..., Output]

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


METHODS: Registry[Callable[[CfgNode, nn.Module, Loss], Method]] = Registry("training method")


def build_method(cfg: CfgNode, network: nn.Module, loss: Loss) -> Method:
    """Build the training method called TRAIN.COMBINER.TYPE.

    Raises:
        UserError: there is no such method, or it does not go with the loss.
    """
    return METHODS.get(method_name(cfg))(cfg, network, loss)
