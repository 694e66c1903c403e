"""Normalization of uint8 images on the device."""

import torch
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import FROM_BACKBONE, describe_backbone
from longtail.registry import Registry

# name -> (mean, std) of the red, green and blue channel, for pixels in [0, 1]
NORMALIZATIONS: Registry[tuple[tuple[float, ...], tuple[float, ...]]] = Registry("normalization")
NORMALIZATIONS.register("cifar")(((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)))
NORMALIZATIONS.register("imagenet")(((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
NORMALIZATIONS.register("inaturalist")(((0.466, 0.471, 0.380), (0.195, 0.194, 0.192)))
NORMALIZATIONS.register("digits")(((0.305,) * 3, (0.352,) * 3))


def channel_statistics(cfg: CfgNode) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of the channels for DATASET.NORMALIZATION.

    Raises:
        UserError: There is no such normalization, or timm does not describe the backbone.
    """
    if cfg.DATASET.NORMALIZATION == FROM_BACKBONE:
        described = describe_backbone(cfg)
        return described.mean, described.std
    return NORMALIZATIONS.get(cfg.DATASET.NORMALIZATION, (FROM_BACKBONE,))


class Normalize:
    """Maps uint8 images to (image / 255 - mean) / std.

    Args:
        mean: Mean of each channel, for pixels in [0, 1].
        std: Standard deviation of each channel, for pixels in [0, 1].
        channels_last: Return images in channels-last memory format.
        bgr: Swap the red and blue channel before normalizing.
    """

    def __init__(
        self, mean: tuple[float, ...], std: tuple[float, ...], *, channels_last: bool = True, bgr: bool = False
    ) -> None:
        self.mean = torch.tensor(mean)[:, None, None] * 255
        self.scale = 1 / (torch.tensor(std)[:, None, None] * 255)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.bgr = bgr

    def __call__(self, images: Tensor) -> Tensor:
        """Return normalized images, (V, B, 3, H, W) float32, of images (V, B, 3, H, W) uint8."""
        self.mean, self.scale = self.mean.to(images.device), self.scale.to(images.device)
        if self.bgr:
            images = images.flip(2)
        flat = images.flatten(0, 1).to(torch.float32, memory_format=self.layout)
        return flat.sub_(self.mean).mul_(self.scale).unflatten(0, images.shape[:2])
