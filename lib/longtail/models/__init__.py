"""Models: backbones, heads, experts, and loading the weights of the released systems."""

from longtail.models import resnet_cifar, resnet_imagenet, timm_models  # noqa: F401  (enter backbones in the registry)
from longtail.models.backbones import BACKBONES
from longtail.models.experts import Expert, Network, Output, build_model
from longtail.models.heads import HEADS
from longtail.models.mixing import HiddenMixing, chunks_of, mix
from longtail.models.moco import KeyEncoder, KeyQueue
from longtail.models.projections import PROJECTIONS
from longtail.models.weights import (
    LoadReport,
    load_backbone_weights,
    load_momentum_branch,
    load_released_weights,
    momentum_branch,
    read_checkpoint,
    read_weights,
)

__all__ = [
    "BACKBONES",
    "HEADS",
    "PROJECTIONS",
    "Expert",
    "HiddenMixing",
    "KeyEncoder",
    "KeyQueue",
    "LoadReport",
    "Network",
    "Output",
    "build_model",
    "chunks_of",
    "load_backbone_weights",
    "load_momentum_branch",
    "load_released_weights",
    "mix",
    "momentum_branch",
    "read_checkpoint",
    "read_weights",
]
