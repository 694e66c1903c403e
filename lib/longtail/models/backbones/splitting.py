"""Splitting a backbone after a stage, for experts that share the stages up to it (NETWORK.SHARED_TO)."""

from collections.abc import Mapping

from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.config import expert_backbones
from longtail.errors import UserError
from longtail.models.backbones.base import Backbone, StagedBackbone, check_taps

KEY = "NETWORK.SHARED_TO"


class UpperStages(StagedBackbone):
    """The last stages of a backbone, applied to the output of the stage before them.

    Parameter names are those of the whole backbone.

    Args:
        stages: Stages by name, in order.
        taps: Output width of each of them.
        below: Layers of the backbone below them, the stem included.
    """

    def __init__(self, stages: Mapping[str, nn.Module], taps: Mapping[str, int], *, below: int) -> None:
        super().__init__()
        for name, stage in stages.items():
            self.add_module(name, stage)
        self.set_stages(taps)
        self.below = below

    def stem(self, images: Tensor) -> Tensor:
        """Return the input, a feature map of the stages below."""
        return images

    def layer_of(self, name: str) -> int:
        """See `Backbone`; counted from the images."""
        return self.below + list(self.taps).index(name.split(".")[0])

    @property
    def num_layers(self) -> int:
        """Layers of the whole backbone."""
        return self.below + len(self.taps)


def split(backbone: Backbone, last: str) -> tuple[StagedBackbone, UpperStages]:
    """Split a backbone into its stem with the stages up to `last`, and the stages after it.

    The first part is the backbone itself, without its last stages.

    Args:
        backbone: Backbone of stages.
        last: Last stage of the first part.

    Raises:
        UserError: The backbone has no stages, none of this name, or none after it.
    """
    if not isinstance(backbone, StagedBackbone):
        raise UserError(f"{KEY} is {last!r}; only residual networks such as res32_cifar and res50 have stages to share")
    check_taps(backbone, [last], key=KEY)
    names = list(backbone.taps)
    number = names.index(last) + 1
    if number == len(names):
        raise UserError(f"{KEY} is {last!r}, the last stage; allowed: {', '.join(names[:-1])}")
    upper = {name: backbone.taps[name] for name in names[number:]}
    stages = UpperStages({name: backbone.get_submodule(name) for name in upper}, upper, below=number + 1)
    for name in upper:
        delattr(backbone, name)
    backbone.set_stages({name: backbone.taps[name] for name in names[:number]})
    return backbone, stages


def check_shared(cfg: CfgNode) -> None:
    """Refuse a shared trunk of a network that cannot have one, before any data is read.

    Raises:
        UserError: The network cannot have one; the message gives the reason.
    """
    names = expert_backbones(cfg)
    reasons = {
        "a cascade has one trunk; NETWORK.TYPE must be experts": cfg.NETWORK.TYPE != "experts",
        f"BACKBONE.MULTI_NETWORK_TYPE is {names}; all experts must have the same backbone": len(set(names)) > 1,
        "the momentum encoder copies whole experts; NETWORK.MOCO must be False": cfg.NETWORK.MOCO,
    }
    for reason, holds in reasons.items():
        if cfg.NETWORK.SHARED_TO and holds:
            raise UserError(f"{KEY} is {cfg.NETWORK.SHARED_TO!r}: {reason}; empty gives each expert a whole backbone")
