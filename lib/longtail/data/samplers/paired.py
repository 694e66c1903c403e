"""Bilateral sampling (BBN, Zhou et al., arXiv 1912.02413): an instance-balanced and a reversed batch per step."""

from torch import Tensor
from yacs.config import CfgNode

from longtail.data.dataset import ImageSet
from longtail.data.samplers.base import SAMPLERS, Sampler
from longtail.data.samplers.instance_balanced import default
from longtail.data.samplers.power import PowerWeighted


class Paired(Sampler):
    """Two samplers; the second draws the partner of each batch of the first.

    Args:
        first: Sampler of `Batch.images`.
        second: Sampler of `Batch.partner`; as long as the first.
    """

    def __init__(self, first: Sampler, second: Sampler) -> None:
        super().__init__(first.length)
        self.first = first
        self.partner = second

    def indices(self, epoch: int) -> Tensor:
        """Return the order of the first sampler, see `Sampler.indices`."""
        return self.first.indices(epoch)

    def __str__(self) -> str:
        return f"{self.first}; partners: {self.partner}"


@SAMPLERS.register("bbn sampler")
def reverse(cfg: CfgNode, images: ImageSet) -> Paired:
    """Build instance-balanced sampling with partners drawn with class probabilities p_c ~ 1 / n_c."""
    return Paired(default(cfg, images), PowerWeighted(images, cfg.RAND_SEED, exponent=-1.0))
