"""Random steps that policies are chains of: crop, flip, Cutout (arXiv 1708.04552).

A step is called like a policy, `step(images, generator) -> images`, and draws all its numbers before it
starts.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from longtail.data.augment import geometry
from longtail.data.augment.batch import check_images, integers, uniform

Policy = Callable[[Tensor, torch.Generator], Tensor]


class Chain:
    """Apply steps one after another.

    Args:
        steps: callables (images, generator) -> images.
    """

    def __init__(self, steps: Sequence[Policy]) -> None:
        self.steps = tuple(steps)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented images.

        Args:
            images: uint8 (N, 3, H, W), left as they are.
            generator: the only source of randomness.

        Returns:
            uint8 (N, 3, S, S).

        Raises:
            TypeError: the images are not uint8.
            ValueError: they do not have shape (N, 3, H, W).
        """
        check_images(images)
        for step in self.steps:
            images = step(images, generator)
        return images


class RandomCrop:
    """Crop at a uniform place after padding with black.

    Args:
        padding: pixels on each side.
        size: height and width of the result; the images' own by default.
    """

    def __init__(self, padding: int, size: tuple[int, int] | None = None) -> None:
        self.padding = padding
        self.size = size

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return crops, uint8 (N, 3, *size), of images uint8 (N, 3, H, W).

        Raises:
            ValueError: the padded images are smaller than the crop.
        """
        height, width = images.shape[2:]
        rows, columns = self.size or (height, width)
        room = (height + 2 * self.padding - rows, width + 2 * self.padding - columns)
        if min(room) < 0:
            raise ValueError(f"a {rows} x {columns} crop does not fit into {height} x {width} padded by {self.padding}")
        tops = integers(room[0] + 1, (len(images),), generator) - self.padding
        lefts = integers(room[1] + 1, (len(images),), generator) - self.padding
        return geometry.window(images, tops, lefts, (rows, columns), (self.padding, self.padding))


class RandomFlip:
    """Mirror each image with a given chance.

    Args:
        chance: in 0..1.
        dim: -1 swaps left and right, -2 swaps top and bottom.
    """

    def __init__(self, chance: float = 0.5, dim: int = -1) -> None:
        self.chance = chance
        self.dim = dim

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return mirrored or equal images, uint8 (N, 3, H, W)."""
        return geometry.flip(images, uniform((len(images),), generator) < self.chance, self.dim)


class RandomRotation:
    """Turn each image by an angle from U(-degrees, degrees), nearest neighbour, black corners.

    Args:
        degrees: the largest angle.
    """

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return turned images, uint8 (N, 3, H, W)."""
        angles = uniform((len(images),), generator, -self.degrees, self.degrees)
        return geometry.rotate(images, angles, fill=0)


class Cutout:
    """Blacken one square per image, its centre uniform over the image and its ends clipped at the border.

    The square is written before normalisation, as in NCL's release: it is black, not the mean colour.

    Args:
        length: side of the square in pixels.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return images with a hole, uint8 (N, 3, H, W)."""
        rows = integers(images.shape[2], (len(images),), generator)
        columns = integers(images.shape[3], (len(images),), generator)
        return geometry.cutout(images, rows, columns, self.length)
