"""The weights that backbones start from: those of a file, and those that timm downloads."""

from typing import Any, NamedTuple

from yacs.config import CfgNode

from longtail.config import expert_backbones
from longtail.models.backbones import downloaded_weights
from longtail.models.weight_files import read_weights


class Pretrained(NamedTuple):
    """Weights of a backbone.

    Attributes:
        source: File, or name and tag of timm.
        weights: Parameters by name.
    """

    source: str
    weights: Any


def is_pretrained(cfg: CfgNode) -> bool:
    """Return whether the backbones start from pretrained weights."""
    return bool(cfg.BACKBONE.PRETRAINED_TAG or cfg.BACKBONE.PRETRAINED_MODEL)


def pretrained_weights(cfg: CfgNode) -> dict[str, list[Pretrained]]:
    """Return the weights of BACKBONE.PRETRAINED_TAG and PRETRAINED_MODEL for each name of a backbone, in this order.

    Raises:
        UserError: A file is missing or damaged, or weights cannot be downloaded.
    """
    tag, path = cfg.BACKBONE.PRETRAINED_TAG, cfg.BACKBONE.PRETRAINED_MODEL
    file = [Pretrained(path, read_weights(path))] if path else []
    names = dict.fromkeys(expert_backbones(cfg))
    return {
        name: [*([Pretrained(f"{name}.{tag}", downloaded_weights(name, tag))] if tag else []), *file] for name in names
    }
