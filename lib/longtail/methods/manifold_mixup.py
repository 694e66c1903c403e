"""Manifold mixup: the mixing happens inside the network."""

from typing import cast

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import Step, TrainingData, stacked_views
from longtail.methods.mixing import Mixing, draw_partners, refuse_unmixable
from longtail.methods.registry import register
from longtail.models import HiddenMixing, Network, chunks_of


class ManifoldMixup(Mixing):
    """Mixup of hidden states (Verma et al., arXiv 1806.05236) after one fixed module, the same in every expert.

    The paper draws the layer for each batch; the released Bag of Tricks fixes it. All experts mix the same rows with
    the same lam. Under DataParallel a row is mixed with one that is computed on the same device.

    Args:
        network: Network of experts.
        loss: Loss without a teacher.
        alpha: lam is drawn from Beta(alpha, alpha).
        location: Module whose output is mixed, see `HiddenMixing`.
        per_sample: See `Mixing`.
    """

    def __init__(
        self, network: nn.Module, loss: Loss, *, alpha: float, location: str, per_sample: bool = False
    ) -> None:
        super().__init__(network, loss, alpha=alpha, per_sample=per_sample)
        self.hidden = HiddenMixing(cast(Network, network), location)

    def training_step(self, batch: Batch) -> Step:
        """Return the step of a batch."""
        images, targets = stacked_views(batch)
        lam = self.draw_lam(targets)
        chunks = chunks_of(targets, cast(nn.Module, self.network))
        partners = [draw_partners(chunk) for chunk in chunks]
        with self.hidden:
            output = self.network(images, lam=lam.expand(len(targets)), partners=torch.cat(partners))
        second = torch.cat([chunk[indices] for chunk, indices in zip(chunks, partners, strict=True)])
        return self.step(output, targets, second=second, lam=lam)


def check(cfg: CfgNode) -> None:
    """Refuse a network whose heads branch off at different depths, because no single module is mixed for all of them.

    Raises:
        UserError: The network is a cascade; the message names the required shape.
    """
    if cfg.NETWORK.TYPE != "experts":
        raise UserError(
            f"NETWORK.TYPE is {cfg.NETWORK.TYPE!r}; TRAIN.COMBINER.TYPE manifold_mixup needs 'experts'; mixup works "
            "with every network"
        )


@register("manifold_mixup", check=check, compilable=False)
def build(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> ManifoldMixup:
    """Build the method from TRAIN.COMBINER."""
    refuse_unmixable(cfg, loss)
    keys = cfg.TRAIN.COMBINER
    location = keys.MANIFOLD_MIX_UP.LOCATION
    return ManifoldMixup(network, loss, alpha=keys.ALPHA, location=location, per_sample=keys.PER_SAMPLE)
