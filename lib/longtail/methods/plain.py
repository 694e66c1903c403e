"""Plain training: every expert minimises its own loss."""

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import METHODS, Method, Step, joined, stacked_views


class Plain(Method):
    """The sum over the experts of a loss that looks at one expert; with one expert, ordinary training."""

    def training_step(self, batch: Batch) -> Step:
        """Return the step for a batch and its partner, if it has one, as one; see `Method.training_step`."""
        images, targets = stacked_views(joined(batch))
        output = self.network(images)
        each = [
            self.loss.terms(logits, targets, features)
            for logits, features in zip(output.logits, output.features, strict=True)
        ]
        terms = {name: torch.stack([one[name] for one in each]).sum() for name in each[0]}
        loss = torch.stack(list(terms.values())).sum()
        return Step(loss, output.logits.detach(), targets, {name: term.detach() for name, term in terms.items()})


@METHODS.register("plain")
def build(cfg: CfgNode, network: nn.Module, loss: Loss) -> Plain:
    """Build it, for losses of one expert."""
    if loss.nested:
        raise UserError(
            f"LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} compares experts; TRAIN.COMBINER.TYPE must be nested "
            f"(multi_network_default), not {cfg.TRAIN.COMBINER.TYPE}"
        )
    return Plain(network, loss)
