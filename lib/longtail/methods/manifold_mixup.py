"""Manifold mixup: the mixing happens inside the network."""

from typing import cast

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.losses import Loss
from longtail.methods.base import METHODS, Step, stacked_views
from longtail.methods.mixing import Mixing, draw_partners, require_mixable
from longtail.models import HiddenMixing, Network, chunks_of


class ManifoldMixup(Mixing):
    """Mixup of hidden states (Verma et al., arXiv 1806.05236) behind one fixed module, the same in every expert.

    The paper chooses the layer anew for each batch; the released Bag of Tricks fixes it. The experts mix the same rows
    with the same share. Under DataParallel a row is mixed with one that is computed on the same device.

    Args:
        network: a `Network`; may be wrapped for several devices.
        loss: of one expert.
        alpha: the share is drawn from Beta(alpha, alpha).
        location: see `HiddenMixing`.
    """

    def __init__(self, network: nn.Module, loss: Loss, alpha: float, location: str) -> None:
        super().__init__(network, loss, alpha)
        self.hidden = HiddenMixing(cast(Network, getattr(network, "module", network)), location)

    def training_step(self, batch: Batch) -> Step:
        """Return the step, see `Method.training_step`."""
        images, targets = stacked_views(batch)
        share = self.draw_share(images.device)
        parts = chunks_of(targets, cast(nn.Module, self.network))
        partners = [draw_partners(part) for part in parts]
        with self.hidden:
            output = self.network(images, share=share.expand(len(targets)), partners=torch.cat(partners))
        second = torch.cat([part[those] for part, those in zip(parts, partners, strict=True)])
        return self.step(output, targets, second, share)


@METHODS.register("manifold_mixup")
def build(cfg: CfgNode, network: nn.Module, loss: Loss) -> ManifoldMixup:
    """Build it from TRAIN.COMBINER, for losses of one expert."""
    require_mixable(cfg, loss)
    keys = cfg.TRAIN.COMBINER
    return ManifoldMixup(network, loss, keys.ALPHA, keys.MANIFOLD_MIX_UP.LOCATION)
