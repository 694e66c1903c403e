"""The registry of network shapes, and the builder of networks."""

from collections.abc import Callable

from torch import nn
from yacs.config import CfgNode

from longtail.registry import Registry

NETWORKS: Registry[Callable[[CfgNode, int], nn.Module]] = Registry("shape of network")


def build_model(cfg: CfgNode, num_classes: int) -> nn.Module:
    """Build the network of NETWORK.TYPE: images (B, 3, H, W) to `Output`.

    Args:
        cfg: Config.
        num_classes: C.

    Raises:
        UserError: There is no such shape, backbone, head or projection head, or they cannot be combined.
    """
    return NETWORKS.get(cfg.NETWORK.TYPE)(cfg, num_classes)
