"""Plain training: every expert minimises its own loss."""

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import METHODS, Method, Step, expert_terms, joined, stacked_views


class Plain(Method):
    """The sum over the experts of a loss that looks at one expert; with one expert, ordinary training."""

    repeatable = True

    def training_step(self, batch: Batch) -> Step:
        """Return the step for a batch and its partner, if it has one, as one; see `Method.training_step`."""
        images, targets = stacked_views(joined(batch))
        output = self.network(images)
        terms = expert_terms(self.loss, output, targets)
        loss = torch.stack(list(terms.values())).sum()
        return Step(loss, output.logits.detach(), targets, {name: term.detach() for name, term in terms.items()})


def require_single(cfg: CfgNode, loss: Loss) -> None:
    """Refuse a loss that needs more than the outputs of one expert.

    Raises:
        UserError: names the loss and the method that goes with it.
    """
    name, method = cfg.LOSS.LOSS_TYPE, cfg.TRAIN.COMBINER.TYPE
    if loss.nested:
        raise UserError(
            f"LOSS.LOSS_TYPE {name} compares experts; TRAIN.COMBINER.TYPE must be nested (multi_network_default), "
            f"not {method}"
        )
    if loss.needs_teacher:
        raise UserError(
            f"LOSS.LOSS_TYPE {name} needs a teacher; TRAIN.COMBINER.TYPE must be distillation (dive), not {method}"
        )


@METHODS.register("plain")
def build(cfg: CfgNode, network: nn.Module, loss: Loss) -> Plain:
    """Build it, for losses of one expert."""
    require_single(cfg, loss)
    return Plain(network, loss)
