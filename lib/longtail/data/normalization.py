"""From uint8 pixels to normalised floats, on the device."""

import torch
from torch import Tensor

from longtail.registry import Registry

# name -> (mean, deviation) of the red, green and blue channel, pixels in [0, 1]
NORMALIZATIONS: Registry[tuple[tuple[float, ...], tuple[float, ...]]] = Registry("normalization")
NORMALIZATIONS.register("cifar")(((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)))
NORMALIZATIONS.register("imagenet")(((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
NORMALIZATIONS.register("inaturalist")(((0.466, 0.471, 0.380), (0.195, 0.194, 0.192)))
NORMALIZATIONS.register("digits")(((0.305,) * 3, (0.352,) * 3))


class Normalize:
    """Maps uint8 images to (image / 255 - mean) / deviation.

    Args:
        mean: of each channel, pixels in [0, 1].
        deviation: likewise.
        channels_last: give the result the NHWC memory layout.
        bgr: swap the red and blue channel first.
    """

    def __init__(
        self, mean: tuple[float, ...], deviation: tuple[float, ...], channels_last: bool = True, bgr: bool = False
    ) -> None:
        self.mean = torch.tensor(mean)[:, None, None] * 255
        self.scale = 1 / (torch.tensor(deviation)[:, None, None] * 255)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.bgr = bgr

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 images (V, B, 3, H, W) of uint8 images of that shape."""
        self.mean, self.scale = self.mean.to(images.device), self.scale.to(images.device)
        if self.bgr:
            images = images.flip(2)
        flat = images.flatten(0, 1).to(torch.float32, memory_format=self.layout)
        return flat.sub_(self.mean).mul_(self.scale).unflatten(0, images.shape[:2])
