"""Adapters: a few trained parameters in every block of a frozen vision transformer.

AdaptFormer (Chen et al., NeurIPS 2022, arXiv 2205.13535) as LIFT uses it for long-tailed data (Shi et al., ICML 2024,
arXiv 2309.10019), in parallel with the MLP of each block: x + mlp(norm(x)) + s * up(relu(down(norm'(x)))).
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.models.branches import is_transformer


class Adapter(nn.Module):
    """Bottleneck that returns zero before training.

    Args:
        width: Width D of the tokens.
        rank: Width of the bottleneck.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, rank)
        self.up = nn.Linear(rank, width)
        self.scale = nn.Parameter(torch.ones(1))
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return what is added to tokens (B, L, D)."""
        added: Tensor = self.scale * self.up(self.down(self.norm(tokens)).relu())
        return added


def adapter_rank(num_classes: int, blocks: int) -> int:
    """Return the largest power of two such that all adapters together have no more weights than the head.

    LIFT's rule, 2^max(0, floor(log2(C / (2 L)))): 4 for 100 classes and 12 blocks, 256 for 8142.

    Args:
        num_classes: C.
        blocks: Number of blocks L.
    """
    return 1 << max((num_classes // (2 * blocks)).bit_length() - 1, 0)


def add_adapters(backbone: nn.Module, rank: int) -> None:
    """Add an adapter to every block of a vision transformer of timm, in place.

    Raises:
        UserError: The backbone is not such a transformer, or its blocks are of another kind.
    """
    blocks: Any = backbone.get_submodule("blocks") if is_transformer(backbone) else ()
    if not blocks or any(type(block) is not _plain_block() for block in blocks):
        raise UserError(
            f"BACKBONE.ADAPTER needs a VisionTransformer of timm with plain blocks; got {type(backbone).__name__}"
        )
    for block in blocks:
        block.adapter = Adapter(block.norm2.normalized_shape[0], rank)
        block.__class__ = _adapted_block()  # a subclass that keeps the names of all parameters


def adapt(cfg: CfgNode, backbone: nn.Module, num_classes: int) -> None:
    """Add the adapters of BACKBONE.ADAPTER to a backbone, in place."""
    if cfg.BACKBONE.ADAPTER == "none":
        return
    blocks = len(getattr(backbone, "blocks", ())) or 1
    add_adapters(backbone, cfg.BACKBONE.ADAPTER_RANK or adapter_rank(num_classes, blocks))


def _plain_block() -> Any:
    from timm.models.vision_transformer import Block  # takes seconds; other backbones do not need it

    return Block


@functools.cache
def _adapted_block() -> Any:
    """Return the class of a block with an adapter."""

    class AdaptedBlock(_plain_block()):  # type: ignore[misc]
        """A block of timm's VisionTransformer with an adapter in parallel with its MLP."""

        def forward(self, x: Tensor, *arguments: Any, **options: Any) -> Tensor:
            """Return tokens (B, L, D) of tokens (B, L, D)."""
            x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x), *arguments, **options)))
            result: Tensor = x + self.drop_path2(self.ls2(self.mlp(self.norm2(x)))) + self.adapter(x)
            return result

    return AdaptedBlock
