"""Models: backbones, heads, experts, and loading the weights of the released systems."""

from longtail.models import resnet_cifar, resnet_imagenet, timm_models  # noqa: F401  (enter backbones in the registry)
from longtail.models.backbones import BACKBONES
from longtail.models.experts import Expert, Network, Output, build_model
from longtail.models.heads import HEADS, needs_first_stage
from longtail.models.mixing import HiddenMixing, chunks_of, mix
from longtail.models.moco import KeyEncoder, KeyQueue
from longtail.models.post_hoc import Readout, Reread, build_readout, reads_anew
from longtail.models.projections import PROJECTIONS
from longtail.models.weights import (
    LoadReport,
    load_backbone_weights,
    load_momentum_branch,
    load_released_weights,
    momentum_branch,
    read_checkpoint,
    read_weights,
    start_from,
    weights_in,
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
    "Readout",
    "Reread",
    "build_model",
    "build_readout",
    "chunks_of",
    "load_backbone_weights",
    "load_momentum_branch",
    "load_released_weights",
    "mix",
    "momentum_branch",
    "needs_first_stage",
    "read_checkpoint",
    "read_weights",
    "reads_anew",
    "start_from",
    "weights_in",
]
