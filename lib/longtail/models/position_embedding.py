"""Position embeddings of vision transformers for another image size."""

import logging
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

logger = logging.getLogger(__name__)


def resample_position_embedding(embedding: Tensor, grid: tuple[int, int], *, prefix: int = 1) -> Tensor:
    """Return the position embedding for another grid of patches, interpolated bicubically as in MAE and CADEL.

    Args:
        embedding: (1, P + g^2, D), the P prefix tokens first.
        grid: New number of rows and columns of patches, (h, w).
        prefix: Number P of prefix tokens (class token), which are not changed.

    Returns:
        (1, P + h * w, D).

    Raises:
        ValueError: The patches of the embedding do not form a square.
    """
    tokens, patches = embedding[:, :prefix], embedding[:, prefix:]
    side = math.isqrt(patches.shape[1])
    if side**2 != patches.shape[1]:
        raise ValueError(f"{patches.shape[1]} patches do not form a square")
    maps = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    maps = F.interpolate(maps, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([tokens, maps.permute(0, 2, 3, 1).flatten(1, 2).to(tokens.dtype)], dim=1)


def fitted(model: nn.Module, name: str, value: Tensor) -> Tensor:
    """Return the value of a parameter, resampled if it is a position embedding for another image size.

    Args:
        model: Model that the value is for.
        name: Name of the parameter in the model.
        value: Value in a weights file; returned unchanged if it differs in more than the number of patches.
    """
    path, _, leaf = name.rpartition(".")
    owner: Any = model.get_submodule(path) if leaf == "pos_embed" else None
    grid = getattr(getattr(owner, "patch_embed", None), "grid_size", None)
    wanted = getattr(owner, "pos_embed", None)
    if grid is None or wanted is None or value.dim() != 3 or value.shape[-1] != wanted.shape[-1]:
        return value
    prefix = 0 if owner.no_embed_class else owner.num_prefix_tokens
    patches = value.shape[1] - prefix
    if value.shape == wanted.shape or patches < 1 or math.isqrt(patches) ** 2 != patches:
        return value
    logger.info("%s: resampled from %d patches to %d x %d", name, patches, *grid)
    return resample_position_embedding(value, tuple(grid), prefix=prefix)
