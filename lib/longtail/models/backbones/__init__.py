"""Backbones: the project's own, and those of timm."""

from longtail.models.backbones import resnet_cifar, resnet_imagenet, timm_models  # noqa: F401  (register backbones)
from longtail.models.backbones.base import (
    BACKBONES,
    Backbone,
    BackboneOptions,
    StagedBackbone,
    build_backbone,
    check_taps,
    initialize_by_fan_out,
)
from longtail.models.backbones.splitting import check_shared, split
from longtail.models.backbones.timm_models import downloaded_weights

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneOptions",
    "StagedBackbone",
    "build_backbone",
    "check_shared",
    "check_taps",
    "downloaded_weights",
    "initialize_by_fan_out",
    "split",
]
