"""Mixup: training on mixtures of two images of the batch."""

from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.losses import Loss
from longtail.methods.base import Step, TrainingData, stacked_views
from longtail.methods.mixing import Mixing, draw_partners, refuse_unmixable
from longtail.methods.registry import register
from longtail.models import mix


class Mixup(Mixing):
    """Input mixup x = lam * x_i + (1 - lam) * x_j, one lam per batch or per row (Zhang et al., arXiv 1710.09412)."""

    def training_step(self, batch: Batch) -> Step:
        """Return the step of a batch."""
        images, targets = stacked_views(batch)
        lam, partners = self.draw_lam(targets), draw_partners(targets)
        output = self.network(mix(images, images[partners], lam=lam))
        return self.step(output, targets, second=targets[partners], lam=lam)


@register("mixup")
def build(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> Mixup:
    """Build the method from TRAIN.COMBINER.ALPHA."""
    refuse_unmixable(cfg, loss)
    return Mixup(network, loss, alpha=cfg.TRAIN.COMBINER.ALPHA, per_sample=cfg.TRAIN.COMBINER.PER_SAMPLE)
