"""BBN-style mixup: every image is mixed with one of the reverse sampler."""

from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import Step, TrainingData, stacked_views
from longtail.methods.mixing import Mixing, refuse_unmixable
from longtail.methods.registry import register
from longtail.models import mix


class BBNMixup(Mixing):
    """Mixup of a uniform batch with its partner (Bag of Tricks; the pairs are those of BBN, arXiv 1912.02413).

    x = lam * x_uniform + (1 - lam) * x_reverse, one lam per batch or per row.
    """

    def training_step(self, batch: Batch) -> Step:
        """Return the step of a batch.

        Raises:
            UserError: The batch has no partner.
        """
        if batch.partner is None:
            raise UserError("bbn_mixup got a batch without a partner; TRAIN.SAMPLER.TYPE 'bbn sampler' draws one")
        images, first = stacked_views(batch)
        others, second = stacked_views(batch.partner)
        lam = self.draw_lam(first)
        return self.step(self.network(mix(images, others, lam=lam)), first, second=second, lam=lam)


def check(cfg: CfgNode) -> None:
    """Refuse a config without the sampler that draws the partners.

    Raises:
        UserError: The config has another sampler; the message names the required one.
    """
    if cfg.TRAIN.SAMPLER.TYPE != "bbn sampler":
        raise UserError(
            f"TRAIN.SAMPLER.TYPE is {cfg.TRAIN.SAMPLER.TYPE!r}; TRAIN.COMBINER.TYPE {cfg.TRAIN.COMBINER.TYPE} needs "
            "'bbn sampler', which draws the images to mix with"
        )


@register("bbn_mixup", check=check, takes_partner=True)
def build(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> BBNMixup:
    """Build the method from TRAIN.COMBINER.ALPHA."""
    refuse_unmixable(cfg, loss)
    return BBNMixup(network, loss, alpha=cfg.TRAIN.COMBINER.ALPHA, per_sample=cfg.TRAIN.COMBINER.PER_SAMPLE)
