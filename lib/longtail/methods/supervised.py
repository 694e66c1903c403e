"""Supervised training: the loss of the logits on the labels."""

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import Method, Step, TrainingData, loss_terms, stacked_views
from longtail.methods.registry import register


class Supervised(Method):
    """One loss over all heads (nested losses), or the sum over the heads of a loss of one head.

    This is ordinary training with one head, and nested collaborative learning (arXiv 2203.15359) with a nested loss. A
    batch and its partner are trained as one batch, the samples of the partner last. With sample weights a, the loss is
    mean_i(a_i l_i).
    """

    supports_cuda_graph = True

    def training_step(self, batch: Batch) -> Step:
        """Return the step of a batch."""
        batch = joined(batch)
        images, targets = stacked_views(batch)
        weights = None if batch.weights is None else batch.weights.repeat(len(batch.images))
        output = self.network(images)
        return Step.of(loss_terms(self.loss, output, targets=targets, row_weights=weights), output, targets=targets)


def joined(batch: Batch) -> Batch:
    """Return a batch and its partner as one batch, the partner's samples last; without a partner, the batch."""
    if batch.partner is None:
        return batch
    partner = batch.partner
    return Batch(
        torch.cat([batch.images, partner.images], dim=1),
        torch.cat([batch.labels, partner.labels]),
        torch.cat([batch.indices, partner.indices]),
        weights=None
        if batch.weights is None or partner.weights is None
        else torch.cat([batch.weights, partner.weights]),
    )


def refuse_teacher(cfg: CfgNode, loss: Loss) -> None:
    """Refuse a loss that needs a teacher, for methods that have none.

    Raises:
        UserError: The loss needs a teacher; the message names the method that has one.
    """
    if loss.needs_teacher:
        raise UserError(
            f"LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} needs a teacher; TRAIN.COMBINER.TYPE must be distillation, "
            f"not {cfg.TRAIN.COMBINER.TYPE}"
        )


@register("supervised", takes_partner=True, weighs_samples=True, repeatable=True)
def build(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> Supervised:
    """Build the method, for losses without a teacher."""
    refuse_teacher(cfg, loss)
    return Supervised(network, loss)
