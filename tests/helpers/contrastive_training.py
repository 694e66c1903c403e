"""A small contrastive training, as the tests of one and of several processes use it."""

import torch
from torch import nn

from longtail.config import load_config
from longtail.data import Batch
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import BACKBONES, build_model
from longtail.models.backbones import Backbone


class Small(Backbone):
    """One convolution, with or without batch norm."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.out_features = 6
        self.body = nn.Sequential(nn.Conv2d(3, 6, 4), nn.BatchNorm2d(6) if norm else nn.Identity(), nn.ReLU())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images)


BACKBONES.register("small")(lambda: Small(norm=False))
BACKBONES.register("small_norm")(lambda: Small(norm=True))

NCL = ["LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 2, "LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0,
       "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6, "LOSS.CON_RATIO", 0.5]  # fmt: skip
MOCO = ["TRAIN.COMBINER.TYPE", "contrastive", "DATASET.VIEWS", ["none", "none"], "NETWORK.MOCO", True,
        "NETWORK.MOCO_K", 16, "NETWORK.MOCO_DIM", 5, "NETWORK.MOCO_T", 0.2, "NETWORK.MA_MODEL_ALPHA", 0.9]  # fmt: skip


def build(*overrides, backbone="small_norm", wrap=lambda network: network):
    """Return method and network of two experts and four classes."""
    cfg = load_config(None, [*NCL, *MOCO, "BACKBONE.MULTI_NETWORK_TYPE", [backbone, backbone], *overrides])
    torch.manual_seed(0)
    network = build_model(cfg, 4)
    return build_method(cfg, wrap(network), build_loss(cfg, [20, 9, 4, 2])), network


def batch(number, size=6):
    random = torch.Generator().manual_seed(number)
    images = torch.randn(2, size, 3, 8, 8, generator=random)
    return Batch(images, torch.randint(0, 4, (size,), generator=random), torch.arange(size))


def train(method, network, batches):
    """Take one step of gradient descent per batch; returns the losses."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for one in batches:
        optimizer.zero_grad()
        loss = method.training_step(one).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
