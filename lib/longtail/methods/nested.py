"""Nested collaborative learning: all experts see the same images and one loss compares them (arXiv 2203.15359)."""

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import METHODS, Method, Step, stacked_views


class Nested(Method):
    """One loss over the logits (E, V*B, C) of all experts."""

    repeatable = True

    def training_step(self, batch: Batch) -> Step:
        """Return the step, see `Method.training_step`."""
        images, targets = stacked_views(batch)
        output = self.network(images)
        terms = self.loss.terms(output.logits, targets)
        loss = torch.stack(list(terms.values())).sum()
        return Step(loss, output.logits.detach(), targets, {name: term.detach() for name, term in terms.items()})


def require_nested(cfg: CfgNode, loss: Loss) -> None:
    """Refuse a loss that looks at one expert.

    Raises:
        UserError: names the loss and the method that goes with it.
    """
    if not loss.nested:
        raise UserError(
            f"LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} looks at one expert; TRAIN.COMBINER.TYPE must be plain (default), "
            f"not {cfg.TRAIN.COMBINER.TYPE}"
        )


@METHODS.register("nested")
def build(cfg: CfgNode, network: nn.Module, loss: Loss) -> Nested:
    """Build it, for losses that compare experts."""
    require_nested(cfg, loss)
    return Nested(network, loss)
