"""A small contrastive training, for tests in one and in several processes."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from longtail.config import load_config
from longtail.data import Batch
from longtail.losses import build_loss
from longtail.methods import Contrastive, build_method
from longtail.models import BACKBONES, Backbone, BackboneOptions, Network, build_model
from tests.helpers.methods import KnownData

COUNTS = [20, 9, 4, 2]


class Small(Backbone):
    """One convolution, with or without batch norm."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.out_features = 6
        self.body = nn.Sequential(nn.Conv2d(3, 6, 4), nn.BatchNorm2d(6) if norm else nn.Identity(), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        """Return feature maps (B, 6, H - 3, W - 3)."""
        maps: Tensor = self.body(images)
        return maps


@BACKBONES.register("small")
def small(options: BackboneOptions) -> Small:
    """Build it without batch norm."""
    return Small(norm=False)


@BACKBONES.register("small_norm")
def small_norm(options: BackboneOptions) -> Small:
    """Build it with batch norm."""
    return Small(norm=True)


NCL = [
    *("LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 2, "LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0),
    *("LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6, "LOSS.CON_RATIO", 0.5),
]
MOCO = [
    *("TRAIN.COMBINER.TYPE", "contrastive", "DATASET.VIEWS", ["none", "none"], "NETWORK.MOCO", True),
    *("NETWORK.MOCO_K", 16, "NETWORK.MOCO_DIM", 5, "NETWORK.MOCO_T", 0.2, "NETWORK.MA_MODEL_ALPHA", 0.9),
]


def build(
    *overrides: Any, backbone: str = "small_norm", wrap: Callable[[nn.Module], nn.Module] | None = None
) -> tuple[Contrastive, Network]:
    """Return method and network of two experts and four classes."""
    cfg = load_config(None, [*NCL, *MOCO, "BACKBONE.MULTI_NETWORK_TYPE", [backbone, backbone], *overrides])
    torch.manual_seed(0)
    network = build_model(cfg, len(COUNTS))
    method = build_method(cfg, network, build_loss(cfg, COUNTS), KnownData(COUNTS))
    assert isinstance(method, Contrastive) and isinstance(network, Network)
    if wrap:
        method.wrap(wrap)
    return method, network


def batch(number: int, size: int = 6) -> Batch:
    """Return the batch of a number, two views."""
    random = torch.Generator().manual_seed(number)
    images = torch.randn(2, size, 3, 8, 8, generator=random)
    return Batch(images, torch.randint(0, 4, (size,), generator=random), torch.arange(size))


def train(method: Contrastive, network: nn.Module, batches: Iterable[Batch]) -> list[float]:
    """Take one step of gradient descent per batch; return the losses."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for own in batches:
        optimizer.zero_grad()
        loss = method.training_step(own).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
