"""The registry of backbones: images (B, 3, H, W) to a feature map (B, D, h, w) or to vectors (B, D).

A backbone tells its feature width D in `out_features`.
"""

from collections.abc import Callable

from torch import nn

from longtail.registry import Registry

BACKBONES: Registry[Callable[[], nn.Module]] = Registry("backbone")
