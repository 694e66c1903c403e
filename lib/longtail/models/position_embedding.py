"""Position embeddings of vision transformers for another image size."""

import logging
import math
from typing import Any

from torch import Tensor, nn

logger = logging.getLogger(__name__)


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
    from timm.layers.pos_embed import resample_abs_pos_embed  # takes seconds; other networks do not need it

    # Bicubic without antialiasing, as in MAE and CADEL.
    return resample_abs_pos_embed(value, list(grid), num_prefix_tokens=prefix, antialias=False)
