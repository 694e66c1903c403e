"""The registry of backbones: images to features."""

from collections.abc import Callable

from torch import nn

from longtail.registry import Registry


class Backbone(nn.Module):
    """Images (B, 3, H, W) to a feature map (B, D, h, w), or to vectors (B, D) where it pools by itself.

    Attributes:
        out_features: D.
    """

    out_features: int


BACKBONES: Registry[Callable[[], Backbone]] = Registry("backbone")
