"""BBN-style mixup: every image is mixed with one of the reverse sampler's."""

from torch import nn
from yacs.config import CfgNode

from longtail.config import method_name
from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import METHODS, Step, stacked_views
from longtail.methods.mixing import Mixing, require_mixable
from longtail.models import mix


class BBNMixup(Mixing):
    """Mixup of a uniform batch with its partner (Bag of Tricks; the pairs are those of BBN, arXiv 1912.02413).

    x = share * x_uniform + (1 - share) * x_reverse, one share for the batch.
    """

    def training_step(self, batch: Batch) -> Step:
        """Return the step, see `Method.training_step`.

        Raises:
            UserError: the batch has no partner.
        """
        if batch.partner is None:
            raise UserError("bbn_mixup got a batch without a partner; TRAIN.SAMPLER.TYPE 'bbn sampler' draws one")
        images, first = stacked_views(batch)
        others, second = stacked_views(batch.partner)
        share = self.draw_share(images.device)
        return self.step(self.network(mix(images, others, share)), first, second, share)


def check_partner(cfg: CfgNode) -> None:
    """Refuse a tree in which nothing draws the partners.

    Raises:
        UserError: names the sampler that does.
    """
    if method_name(cfg) == "bbn_mixup" and cfg.TRAIN.SAMPLER.TYPE != "bbn sampler":
        raise UserError(
            f"TRAIN.SAMPLER.TYPE is {cfg.TRAIN.SAMPLER.TYPE!r}; TRAIN.COMBINER.TYPE {cfg.TRAIN.COMBINER.TYPE} needs "
            "'bbn sampler', which draws the images to mix with"
        )


@METHODS.register("bbn_mixup")
def build(cfg: CfgNode, network: nn.Module, loss: Loss) -> BBNMixup:
    """Build it from TRAIN.COMBINER.ALPHA, for losses of one expert."""
    check_partner(cfg)
    require_mixable(cfg, loss)
    return BBNMixup(network, loss, cfg.TRAIN.COMBINER.ALPHA)
