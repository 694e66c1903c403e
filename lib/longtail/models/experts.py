"""A network: E experts that look at the same images."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.config import expert_backbones
from longtail.errors import UserError
from longtail.models.backbones import BACKBONES
from longtail.models.heads import HEADS, SecondStageHead
from longtail.models.projections import PROJECTIONS
from longtail.models.streams import in_streams


class Output(NamedTuple):
    """What a network says of a batch.

    Attributes:
        logits: (E, B, C).
        features: what the heads saw, (E, B, D).
        projections: what contrastive learning compares, (E, B, P); None where they were not asked for.
    """

    logits: Tensor
    features: Tensor
    projections: Tensor | None = None


class Expert(nn.Module):
    """A backbone with its head.

    Args:
        backbone: images to a feature map (B, D, h, w), or to vectors (B, D).
        head: features (B, D) to logits (B, C).
        pool: average a feature map over its pixels; vectors stay as they are.
        dropout: probability of dropping a feature before the head.
        projection: features (B, D) to vectors (B, P), for contrastive learning.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        pool: bool = True,
        dropout: float = 0.0,
        projection: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.projection = projection
        self.still = False  # the backbone keeps its batch-norm statistics

    def freeze_backbone(self, still: bool = True) -> None:
        """Train the backbone no more.

        Args:
            still: also keep its batch-norm statistics, and normalise by them in training; False: its parameters only.
        """
        self.backbone.requires_grad_(False)
        self.still = still

    def train(self, mode: bool = True) -> "Expert":
        """Set training or evaluation mode; a still backbone is always in evaluation mode."""
        super().train(mode)
        if self.still:
            self.backbone.eval()
        return self

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
        self.streams: list[Any] = []  # one per expert, for all to run at once; empty: one after another

    def forward(self, images: Tensor, project: bool = False) -> Output:
        """Return logits (E, B, C) and features (E, B, D) of images (B, 3, H, W).

        Args:
            images: the same for all experts.
            project: also return projections (E, B, P); every expert must have a projection head. Not the default, for
                they cost time and judging has no use for them.
        """
        each = in_streams(self.experts, images, self.streams) if self.streams else [one(images) for one in self.experts]
        logits, features = zip(*each, strict=True)
        projections = None
        if project:
            pairs = zip(self.experts, features, strict=True)
            projections = torch.stack([expert.get_submodule("projection")(one) for expert, one in pairs])
        return Output(torch.stack(logits), torch.stack(features), projections)


def build_model(cfg: CfgNode, num_classes: int) -> Network:
    """Build the network of BACKBONE, MODULE and CLASSIFIER; with NETWORK.MOCO its experts have projection heads.

    Backbones are frozen by BACKBONE.FREEZE and under the heads of a second stage.

    Args:
        cfg: the configuration tree.
        num_classes: C.

    Raises:
        UserError: there is no such backbone, head or projection head, or the experts' features differ in width.
    """
    experts, widths = [], []
    for name in expert_backbones(cfg):
        backbone = BACKBONES.get(name)()
        widths.append(backbone.out_features)
        head = HEADS.get(cfg.CLASSIFIER.TYPE)(cfg, backbone.out_features, num_classes)
        expert = Expert(backbone, head, cfg.MODULE.TYPE == "GAP", 0.5 if cfg.DROPOUT else 0.0)
        if cfg.BACKBONE.FREEZE or isinstance(head, SecondStageHead):
            expert.freeze_backbone(cfg.BACKBONE.FROZEN_STATISTICS == "still")
        experts.append(expert)
    if len(set(widths)) > 1:
        raise UserError(f"BACKBONE.MULTI_NETWORK_TYPE: features of all experts must have one width, not {widths}")
    if cfg.NETWORK.MOCO:  # after all experts, so that these start from the same weights with and without
        projection = PROJECTIONS.get(cfg.CLASSIFIER.SEMI_TYPE)
        for expert, width in zip(experts, widths, strict=True):
            expert.projection = projection(cfg, width, cfg.NETWORK.MOCO_DIM)
    return Network(experts)
