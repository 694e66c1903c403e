"""Projection heads: features (B, D) to the vectors (B, P) of contrastive learning."""

from collections.abc import Callable

from torch import nn
from yacs.config import CfgNode

from longtail.models.heads import cosine, linear, norm
from longtail.registry import Registry

PROJECTIONS: Registry[Callable[[CfgNode, int, int], nn.Module]] = Registry("projection head")
PROJECTIONS.register("FC")(linear)  # these three are the heads of the same name, with width P
PROJECTIONS.register("FCNorm")(norm)
PROJECTIONS.register("cos")(cosine)


@PROJECTIONS.register("mlp")
def mlp(cfg: CfgNode, in_features: int, width: int) -> nn.Sequential:
    """Build Linear(D, D), ReLU, Linear(D, P), the projection head of NCL and of MoCo v2 (arXiv 2003.04297)."""
    bias = cfg.CLASSIFIER.BIAS
    return nn.Sequential(
        nn.Linear(in_features, in_features, bias=bias), nn.ReLU(), nn.Linear(in_features, width, bias=bias)
    )
