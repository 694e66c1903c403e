"""What every sampler is: epoch to the positions that it shows, in their order."""

from collections.abc import Callable

from torch import Tensor
from yacs.config import CfgNode

from longtail.config import sampling
from longtail.data.dataset import ImageSet
from longtail.registry import Registry


class Sampler:
    """Says which images an epoch shows, and in which order.

    It remembers nothing between two calls: an epoch is a function of (seed, epoch), the same in every process. The
    loader deals it out to the processes and enters it at any step, so a checkpoint needs nothing of it.

    Args:
        length: images that an epoch shows, N.

    Attributes:
        partner: what draws the second batch of each step, for methods that take two; None for the others.
    """

    partner: "Sampler | None" = None

    def __init__(self, length: int) -> None:
        self.length = length

    def indices(self, epoch: int) -> Tensor:
        """Return the order of epoch `epoch` (from 1), positions in the data set, (N,) int64."""
        raise NotImplementedError

    def __str__(self) -> str:
        """Return what an epoch shows, for the log."""
        raise NotImplementedError


SamplerBuilder = Callable[[CfgNode, ImageSet], Sampler]
SAMPLERS: Registry[SamplerBuilder] = Registry("sampler")


def build_sampler(cfg: CfgNode, images: ImageSet) -> Sampler:
    """Build the sampler of the training images that TRAIN.SAMPLER asks for.

    Raises:
        UserError: there is no such sampler.
    """
    return SAMPLERS.get(sampling(cfg).kind)(cfg, images)
