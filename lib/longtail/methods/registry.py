"""Registry of the training methods: their builders, requirements and abilities."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from yacs.config import CfgNode

from longtail.config import RELEASED_METHODS
from longtail.losses import Loss
from longtail.methods.base import Method, TrainingData
from longtail.registry import Registry

MethodBuilder = Callable[[CfgNode, nn.Module, Loss, TrainingData], Method]
Check = Callable[[CfgNode], None]


def nothing(cfg: CfgNode) -> None:
    """Accept every config."""


@dataclass(frozen=True)
class MethodEntry:
    """A registered training method.

    Attributes:
        build: Builds it from config, network, loss and training data.
        check: Refuses a config that does not fit the method, before any data is read.
        files: Keys of the config that name files which the method reads.
        takes_partner: Whether it uses the partner batch of a paired sampler.
        needs_momentum: Whether it uses the projection heads and the momentum encoder of NETWORK.MOCO; None: optional.
        uses_projections: Whether it uses the projection heads of NETWORK.PROJECTION_DIM.
        compilable: Whether the experts of its network may be compiled.
        weighs_samples: Whether it uses the weights of a batch.
        repeatable: Whether a step may be computed twice for a batch: it draws no random numbers and changes no state.
    """

    build: MethodBuilder
    check: Check = nothing
    files: tuple[str, ...] = ()
    takes_partner: bool = False
    needs_momentum: bool | None = False
    uses_projections: bool = False
    compilable: bool = True
    weighs_samples: bool = False
    repeatable: bool = False


METHODS: Registry[MethodEntry] = Registry("training method")


def register(name: str, **entry: Any) -> Callable[[MethodBuilder], MethodBuilder]:
    """Return a decorator that registers the builder of a training method.

    Args:
        name: Value of TRAIN.COMBINER.TYPE.
        entry: Attributes of its `MethodEntry`.
    """

    def enter(build: MethodBuilder) -> MethodBuilder:
        METHODS.register(name)(MethodEntry(build, **entry))
        return build

    return enter


def method_entry(cfg: CfgNode) -> MethodEntry:
    """Return the registered training method of TRAIN.COMBINER.TYPE.

    Raises:
        UserError: There is no such method.
    """
    return METHODS.get(cfg.TRAIN.COMBINER.TYPE, RELEASED_METHODS)


def build_method(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> Method:
    """Build the training method of TRAIN.COMBINER.TYPE.

    Args:
        cfg: Config.
        network: Images to `Output`; the unwrapped network.
        loss: Loss to minimize.
        data: Training set.

    Raises:
        UserError: There is no such method, or it cannot be used with the loss.
    """
    return method_entry(cfg).build(cfg, network, loss, data)
