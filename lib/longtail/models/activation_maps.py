"""Class activation maps: which parts of an image support a class (Zhou et al., CVPR 2016, arXiv 1512.04150)."""

import torch
from torch import Tensor

from longtail.errors import UserError
from longtail.models.experts import Expert


@torch.no_grad()
def activation_maps(expert: Expert, images: Tensor, *, labels: Tensor) -> Tensor:
    """Return the map of one class for each image: M(x, y) = sum_d w_cd f_d(x, y), scaled to 0..1 (eq. 2).

    Heads that scale or normalize the weights of a class change its map by a positive factor, which cancels. A constant
    map becomes zero.

    Args:
        expert: Expert in evaluation mode.
        images: Normalized images, (B, 3, H, W).
        labels: Class c of each image, (B,).

    Returns:
        (B, h, w) float32, at the resolution of the backbone's feature map.

    Raises:
        UserError: The backbone returns vectors instead of maps.
    """
    features = expert.backbone(images)
    if features.dim() != 4:
        kind = type(expert.backbone).__name__
        raise UserError(f"class activation maps need a backbone that returns feature maps; {kind} returns vectors")
    maps = torch.einsum("bdhw,bd->bhw", features.float(), class_weights(expert)[labels])
    maps = maps - maps.amin((1, 2), keepdim=True)
    highest = maps.amax((1, 2), keepdim=True)
    return maps / torch.where(highest > 0, highest, 1)


def class_weights(expert: Expert) -> Tensor:
    """Return the weights (C, D) of an expert's head: its first parameter that is a matrix.

    Raises:
        UserError: There is none.
    """
    for parameter in expert.head.parameters():
        if parameter.dim() == 2:
            return parameter.detach().float()
    raise UserError(
        f"class activation maps need a head with a weight for each class; {type(expert.head).__name__} has none"
    )
