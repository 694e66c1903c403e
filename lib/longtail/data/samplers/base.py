"""The interface of all samplers: an epoch number to the order of its indices."""

from collections.abc import Callable

from torch import Tensor
from yacs.config import CfgNode

from longtail.data.dataset import ImageSet
from longtail.registry import Registry


class Sampler:
    """Determines which images an epoch contains, and in which order.

    A sampler has no state: an epoch is a function of (seed, epoch) and the same in every process. The loader shards it
    over the processes and can start it at any step, so a checkpoint needs no sampler state.

    Args:
        length: Number of samples per epoch N.

    Attributes:
        partner: Sampler of the second batch of each step, for methods that take two; otherwise None.
    """

    partner: "Sampler | None" = None

    def __init__(self, length: int) -> None:
        self.length = length

    def indices(self, epoch: int) -> Tensor:
        """Return the indices of an epoch (from 1) in their order, (N,) int64."""
        raise NotImplementedError

    def __str__(self) -> str:
        """Return a description of an epoch for the log."""
        raise NotImplementedError


SamplerBuilder = Callable[[CfgNode, ImageSet], Sampler]
SAMPLERS: Registry[SamplerBuilder] = Registry("sampler")


def build_sampler(cfg: CfgNode, images: ImageSet) -> Sampler:
    """Build the sampler of the training images from TRAIN.SAMPLER.

    Raises:
        UserError: The sampler is unknown.
    """
    return SAMPLERS.get(cfg.TRAIN.SAMPLER.TYPE)(cfg, images)
