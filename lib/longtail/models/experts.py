"""A network: E experts that look at the same images."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.config import expert_backbones
from longtail.errors import UserError
from longtail.models.backbones import BACKBONES
from longtail.models.heads import HEADS


class Output(NamedTuple):
    """What a network says of a batch.

    Attributes:
        logits: (E, B, C).
        features: what the heads saw, (E, B, D).
    """

    logits: Tensor
    features: Tensor


class Expert(nn.Module):
    """A backbone with its head.

    Args:
        backbone: images to a feature map (B, D, h, w), or to vectors (B, D).
        head: features (B, D) to logits (B, C).
        pool: average a feature map over its pixels; vectors stay as they are.
        dropout: probability of dropping a feature before the head.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, pool: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.pool = pool
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, C) and features (B, D) of images (B, 3, H, W)."""
        features = self.backbone(images)
        if self.pool and features.dim() == 4:
            features = features.mean((2, 3))
        elif features.dim() > 2:
            raise UserError("MODULE.TYPE Identity needs a backbone that gives vectors; this one gives maps: use GAP")
        return self.head(self.dropout(features)), features


class Network(nn.Module):
    """E experts and one forward.

    Args:
        experts: all with the same number of classes and the same feature width.
    """

    def __init__(self, experts: list[Expert]) -> None:
        super().__init__()
        self.experts = nn.ModuleList(experts)

    def forward(self, images: Tensor) -> Output:
        """Return logits (E, B, C) and features (E, B, D) of images (B, 3, H, W)."""
        logits, features = zip(*(expert(images) for expert in self.experts), strict=True)
        return Output(torch.stack(logits), torch.stack(features))


def build_model(cfg: CfgNode, num_classes: int) -> Network:
    """Build the network of BACKBONE, MODULE and CLASSIFIER.

    Args:
        cfg: the configuration tree.
        num_classes: C.

    Raises:
        UserError: there is no such backbone or head, or the experts' features differ in width.
    """
    experts = []
    for name in expert_backbones(cfg):
        backbone = BACKBONES.get(name)()
        if cfg.BACKBONE.FREEZE:
            backbone.requires_grad_(False)
        head = HEADS.get(cfg.CLASSIFIER.TYPE)(cfg, backbone.out_features, num_classes)
        experts.append(Expert(backbone, head, cfg.MODULE.TYPE == "GAP", 0.5 if cfg.DROPOUT else 0.0))
    widths = {str(expert.backbone.out_features): None for expert in experts}
    if len(widths) > 1:
        listed = " and ".join(widths)
        raise UserError(f"BACKBONE.MULTI_NETWORK_TYPE: features of all experts must have one width, not {listed}")
    return Network(experts)
