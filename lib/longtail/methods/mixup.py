"""Mixup: training on mixtures of two images of the batch."""

from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.losses import Loss
from longtail.methods.base import METHODS, Step, stacked_views
from longtail.methods.mixing import Mixing, draw_partners, require_mixable
from longtail.models import mix


class Mixup(Mixing):
    """Input mixup (Zhang et al., arXiv 1710.09412): x = share * x_i + (1 - share) * x_j, one share for the batch."""

    def training_step(self, batch: Batch) -> Step:
        """Return the step, see `Method.training_step`."""
        images, targets = stacked_views(batch)
        share, partners = self.draw_share(images.device), draw_partners(targets)
        output = self.network(mix(images, images[partners], share))
        return self.step(output, targets, targets[partners], share)


@METHODS.register("mixup")
def build(cfg: CfgNode, network: nn.Module, loss: Loss) -> Mixup:
    """Build it from TRAIN.COMBINER.ALPHA, for losses of one expert."""
    require_mixable(cfg, loss)
    return Mixup(network, loss, cfg.TRAIN.COMBINER.ALPHA)
