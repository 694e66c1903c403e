"""Projection heads: features (B, D) to the vectors (B, P) of contrastive learning."""

from collections.abc import Callable

from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.models.heads import cosine, l2_normalize, linear, norm
from longtail.models.output import Output
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


def projection_width(cfg: CfgNode) -> int:
    """Return the width of the projection heads, 0 if there are none."""
    return int(cfg.NETWORK.MOCO_DIM if cfg.NETWORK.MOCO else cfg.NETWORK.PROJECTION_DIM)


class QueryEncoder(nn.Module):
    """Images to the unit projections (E, B, P) of a network: the counterpart of the `KeyEncoder` of momentum contrast.

    Args:
        network: Network with projection heads.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training

    def forward(self, images: Tensor) -> Tensor:
        """Return projections of unit length, (E, B, P) float32, of images (B, 3, H, W)."""
        projections: Tensor = l2_normalize(self.network(images, project=True).projections)
        return projections


class EncodedOutput(nn.Module):
    """Images to an `Output` without logits, whose features are the vectors of an encoder.

    Args:
        encoder: Images (B, 3, H, W) to vectors (E, B, P).
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.training = encoder.training

    def forward(self, images: Tensor) -> Output:
        """Return logits (E, B, 0) and features (E, B, P)."""
        vectors: Tensor = self.encoder(images)
        return Output(vectors[..., :0], vectors)
