"""Heads: features (B, D) to logits (B, C)."""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.precision import in_float32, without_autocast
from longtail.registry import Registry

HEADS: Registry[Callable[[CfgNode, int, int], nn.Module]] = Registry("head")


def l2_normalize(vectors: Tensor, eps: float = 1e-6) -> Tensor:
    """Return the rows of (..., D) scaled to unit length; a row shorter than eps becomes zero and gets no gradient.

    Dividing a zero row by a tiny constant would give finite values, but gradients of 1 / constant.
    """
    vectors = vectors.float()
    length = vectors.norm(dim=-1, keepdim=True)
    return torch.where(length > eps, vectors / length.clamp_min(eps), 0.0)


def logits_of(head: nn.Module, features: Tensor) -> Tensor:
    """Return the logits (B, C) of features (B, D), float32 or wider also under autocast.

    In bf16, logits from 16 to 32, and cosines near 1 times a scale of 30, would be rounded to multiples of about 1/8,
    which is too coarse for the losses. A head is a tiny part of the computation.
    """
    with without_autocast(features.device):
        return head(in_float32(features))


def cosines(features: Tensor, weight: Tensor) -> Tensor:
    """Return the cosine of every feature (B, D) with every class weight (C, D), (B, C)."""
    return F.linear(l2_normalize(features), l2_normalize(weight))


class NormHead(nn.Module):
    """Cosines without scale or bias, the head of LDAM (`FCNorm` and `NormedLinear`).

    The initial weight is uniform in (-1, 1) and then scaled. The cosines do not depend on the length of w_c, but the
    steps of training do: their size relative to w_c is proportional to 1 / |w_c|^2.

    Args:
        in_features: D.
        num_classes: C.
        unit_classes: Scale the weight of each class to unit length, as LDAM's code and SBCL do; False: scale that of
            each feature, over all classes, as Bag of Tricks does.
    """

    def __init__(self, in_features: int, num_classes: int, *, unit_classes: bool = False) -> None:
        super().__init__()
        weight = torch.empty(num_classes, in_features).uniform_(-1, 1)
        self.weight = nn.Parameter(F.normalize(weight, dim=1 if unit_classes else 0))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, C) in [-1, 1] of features (B, D)."""
        return cosines(features, self.weight)


class CosineHead(nn.Module):
    """Scaled cosines plus a bias (`cos`), NCL's head for large image sets.

    Args:
        in_features: D.
        num_classes: C.
        scale: Scale of the cosines.
        train_bias: Train the bias; False: keep it at zero.
    """

    def __init__(self, in_features: int, num_classes: int, *, scale: float, train_bias: bool = True) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.empty(num_classes, in_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(num_classes), requires_grad=train_bias)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, C) of features (B, D)."""
        return self.scale * cosines(features, self.weight) + self.bias


class CosNormHead(nn.Module):
    """Scaled cosines of features whose length is squashed to below 1 (`cosnorm`), the head of CADEL.

    z_c = s (x / (1 + |x|)) . (w_c / |w_c|), so |z_c| < s; the cosine classifier of OLTR, Liu et al., CVPR 2019, arXiv
    1904.05160. A zero feature gives zero logits; the release gives NaN.

    Args:
        in_features: D.
        num_classes: C.
        scale: Scale s of the logits.
    """

    def __init__(self, in_features: int, num_classes: int, *, scale: float) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.empty(num_classes, in_features).uniform_(-bound, bound))
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, C) of features (B, D)."""
        features = features.float()
        squashed = features / (1 + features.norm(dim=-1, keepdim=True))
        return self.scale * F.linear(squashed, l2_normalize(self.weight))


class SecondStageHead(nn.Module):
    """A head that is trained on the frozen backbone of a first stage.

    Attributes:
        renamed: Parameter of a linear head -> parameter of this one that starts from it.
        inherits: Whether the head of the first stage is loaded; False: this head is initialized from scratch.
    """

    renamed: ClassVar[Mapping[str, str]] = {}
    inherits: ClassVar[bool] = True


class RetrainedHead(nn.Linear, SecondStageHead):
    """A linear head trained from scratch on the features of a first stage (`cRT`).

    Classifier re-training, Kang et al., ICLR 2020, arXiv 1910.09217, section 4.
    """

    inherits = False


class ScaledHead(SecondStageHead):
    """Learnable weight scaling (`LWS`): s * (W x + b), where only the scale s of each class is trained.

    Kang et al., ICLR 2020, arXiv 1910.09217, section 4 (w_c <- s_c w_c); the release scales the bias too.

    Args:
        in_features: D.
        num_classes: C.
        bias: Whether the head has the bias b.
    """

    renamed: ClassVar[Mapping[str, str]] = {"weight": "fc.weight", "bias": "fc.bias"}

    def __init__(self, in_features: int, num_classes: int, *, bias: bool = True) -> None:
        super().__init__()
        self.fc = nn.Linear(in_features, num_classes, bias).requires_grad_(False)
        self.scales = nn.Parameter(torch.ones(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, C) of features (B, D)."""
        return self.fc(features) * self.scales


@HEADS.register("FC")
def linear(cfg: CfgNode, in_features: int, num_classes: int) -> nn.Linear:
    """Build a linear head."""
    return nn.Linear(in_features, num_classes, bias=cfg.CLASSIFIER.BIAS)


@HEADS.register("FCNorm")
def norm(cfg: CfgNode, in_features: int, num_classes: int) -> NormHead:
    """Build Bag of Tricks' head of plain cosines."""
    return NormHead(in_features, num_classes)


@HEADS.register("NormedLinear")
def normed_linear(cfg: CfgNode, in_features: int, num_classes: int) -> NormHead:
    """Build the head of plain cosines of LDAM's code and SBCL."""
    return NormHead(in_features, num_classes, unit_classes=True)


@HEADS.register("cos")
def cosine(cfg: CfgNode, in_features: int, num_classes: int) -> CosineHead:
    """Build a head of scaled cosines."""
    return CosineHead(in_features, num_classes, scale=cfg.CLASSIFIER.COS_SCALE, train_bias=cfg.CLASSIFIER.BIAS)


@HEADS.register("cosnorm")
def cosnorm(cfg: CfgNode, in_features: int, num_classes: int) -> CosNormHead:
    """Build CADEL's head of scaled cosines."""
    return CosNormHead(in_features, num_classes, scale=cfg.CLASSIFIER.COS_SCALE)


@HEADS.register("cRT")
def retrained(cfg: CfgNode, in_features: int, num_classes: int) -> RetrainedHead:
    """Build a linear head for classifier re-training."""
    return RetrainedHead(in_features, num_classes, bias=cfg.CLASSIFIER.BIAS)


@HEADS.register("LWS")
def scaled(cfg: CfgNode, in_features: int, num_classes: int) -> ScaledHead:
    """Build a linear head of which only the scales are trained."""
    return ScaledHead(in_features, num_classes, bias=cfg.CLASSIFIER.BIAS)


def needs_first_stage(cfg: CfgNode) -> bool:
    """Return whether the head of CLASSIFIER.TYPE is trained on the backbone of an earlier training."""
    with torch.device("meta"):  # costs neither memory nor random numbers
        return isinstance(HEADS.get(cfg.CLASSIFIER.TYPE)(cfg, 1, 1), SecondStageHead)
