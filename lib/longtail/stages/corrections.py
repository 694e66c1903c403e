"""A trained network with the post-hoc corrections and the test-time augmentation of a config."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.data import Normalize, takes_crops_of_resized
from longtail.models import (
    FiveCrops,
    MeanLogits,
    PostHocClassifier,
    Views,
    build_adjusted_heads,
    flip_views,
    one_view,
    uses_post_hoc,
)


def corrected(cfg: CfgNode, network: Any, *, class_counts: Sequence[int]) -> nn.Module:
    """Return a network with the post-hoc corrections of a config; the network itself if there are none.

    Args:
        cfg: Config.
        network: Network, see `longtail.models.Classifiers`.
        class_counts: Training images per class, (C,).
    """
    if uses_post_hoc(cfg):
        return PostHocClassifier(network, build_adjusted_heads(cfg, network.heads, class_counts=class_counts))
    module: nn.Module = network
    return module


def build_views(cfg: CfgNode, normalize: Normalize) -> Views:
    """Return the function that makes the views of TEST.TTA from normalized images."""
    if cfg.TEST.TTA == "flip":
        return flip_views
    if cfg.TEST.TTA == "none":
        return one_view
    if takes_crops_of_resized(cfg):
        height, width = cfg.INPUT_SIZE
        return FiveCrops((int(height), int(width)))
    black = normalize(torch.zeros(1, 1, 3, 1, 1, dtype=torch.uint8))[0]
    return FiveCrops(None, padding=int(cfg.TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING), fill=black)


def with_views(network: nn.Module, views: Views) -> nn.Module:
    """Return a network whose logits are the mean over the views of an image; the network itself for one view."""
    return network if views is one_view else MeanLogits(network, views)


def applied_corrections(cfg: CfgNode) -> dict[str, Any]:
    """Return {name in results.json: value} of the test-time augmentation and corrections of a config."""
    test = cfg.TEST
    values = {
        "tau_norm": test.TAU_NORM.TAU if test.TAU_NORM.USE_TAU_NORM else None,
        "logit_adjustment": test.LOGIT_ADJUSTMENT or None,
        "class_offsets": list(test.CLASS_OFFSETS) or None,
        "temperature": test.TEMPERATURE if test.TEMPERATURE != 1 else None,
        "prior": test.PRIOR if test.PRIOR != "uniform" else None,
        "tta": test.TTA if test.TTA != "none" else None,
    }
    return {name: value for name, value in values.items() if value is not None}
