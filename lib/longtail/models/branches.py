"""Branches of a cascade: an intermediate output of the trunk to logits, through additional layers."""

import copy
import math
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from longtail.models.backbones import Backbone, initialize_by_fan_out
from longtail.models.heads import logits_of

GROUPS = 32  # groups of the second convolution
REDUCTION = 8  # reduction of squeeze-and-excitation


class Branch(nn.Module):
    """Layers after a tap, and a head.

    Args:
        body: Output of the tap to features (B, D).
        head: Features to logits (B, C).
        dropout: Probability of dropping a feature before the head.
    """

    def __init__(self, body: nn.Module, head: nn.Module, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.dropout = nn.Dropout(dropout)

    def forward(self, tapped: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, C) and features (B, D) of the output of the tap."""
        features = self.body(tapped)
        return logits_of(self.head, self.dropout(features)), features


class ConvBody(nn.Module):
    """CADEL's layers after a stage of a convolutional network.

    Convolutions 3x3, 3x3 in groups, 3x3 and `last_kernel`, each with bias, batch norm and ReLU; then
    squeeze-and-excitation (Hu et al., CVPR 2018, arXiv 1709.01507) and the mean over the pixels. Only the first
    convolution pads its input. The release needs maps of at least 13x13; here smaller maps that the other convolutions
    would shrink to nothing are padded with zeros, so that every pixel contributes.

    Args:
        in_width: Channels of the map.
        width: Channels of the first three convolutions; the last one has twice as many. The second one has 32 groups,
            or the largest common divisor of 32 and the width.
        last_kernel: Side of the last convolution's kernel, 1 or 3.
        default_init: Use PyTorch's default initialization of convolutions; False: Kaiming's normal one by fan-out.

    Attributes:
        out_features: Feature width D.
    """

    def __init__(self, in_width: int, width: int, *, last_kernel: int = 1, default_init: bool = False) -> None:
        super().__init__()
        self.out_features = 2 * width
        self.shrinkage = 4 + last_kernel - 1  # pixels by which the unpadded convolutions reduce height and width
        convolutions = (
            nn.Conv2d(in_width, width, 3, padding=1),
            nn.Conv2d(width, width, 3, groups=math.gcd(GROUPS, width)),
            nn.Conv2d(width, width, 3),
            nn.Conv2d(width, self.out_features, last_kernel),
        )
        if not default_init:
            for convolution in convolutions:
                initialize_by_fan_out(convolution)
        self.convolutions = nn.Sequential(
            *(
                layer
                for convolution in convolutions
                for layer in (convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True))
            )
        )
        squeezed = max(self.out_features // REDUCTION, 1)
        self.gates = nn.Sequential(
            nn.Linear(self.out_features, squeezed, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(squeezed, self.out_features, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return features (B, 2 * width) of maps (B, in_width, h, w)."""
        if min(maps.shape[2:]) <= self.shrinkage:
            maps = F.pad(maps, [self.shrinkage // 2] * 4)
        pooled = self.convolutions(maps).mean((2, 3))
        return cast(Tensor, pooled * self.gates(pooled))  # scaling the channels and taking the mean commute


class TransformerBody(nn.Module):
    """CADEL's layers after a block of a vision transformer: further blocks, and the mean over the patch tokens.

    The blocks are copies of the tapped one, with its stochastic depth and PyTorch's default initialization, as
    released. There is no layer norm before the head, as released.

    Args:
        trunk: A `VisionTransformer` of timm.
        tap: Name of the tapped block.
        depth: Number of blocks.

    Attributes:
        out_features: Feature width D.
    """

    def __init__(self, trunk: Backbone, tap: str, *, depth: int) -> None:
        super().__init__()
        self.out_features = trunk.taps[tap]
        self.prefix = int(cast(Any, trunk).num_prefix_tokens)
        self.blocks = nn.Sequential(*(copy.deepcopy(trunk.get_submodule(tap)) for _ in range(depth)))
        for module in self.blocks.modules():
            if hasattr(module, "reset_parameters"):
                cast(Any, module).reset_parameters()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return features (B, D) of all tokens (B, L, D), the class token first."""
        return cast(Tensor, self.blocks(tokens)[:, self.prefix :].mean(1))


def is_transformer(backbone: nn.Module) -> bool:
    """Return whether a backbone is a `VisionTransformer` of timm, whose taps are tokens."""
    if not hasattr(backbone, "num_prefix_tokens"):
        return False
    from timm.models.vision_transformer import VisionTransformer  # takes seconds; other backbones do not need it

    return isinstance(backbone, VisionTransformer)
