"""Random steps of policies: crop, flip, rotation, Cutout (arXiv 1708.04552).

A step is called like a policy, `step(images, generator) -> images`, and draws all its random numbers first.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from longtail.data.augment import geometry
from longtail.data.augment.batch import check_images, integers, uniform, uniform_list

Policy = Callable[[Tensor, torch.Generator], Tensor]


class Chain:
    """Applies steps one after another.

    Args:
        steps: Callables (images, generator) -> images.
    """

    def __init__(self, steps: Sequence[Policy]) -> None:
        self.steps = tuple(steps)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented images.

        Args:
            images: Images, (N, 3, H, W) uint8; not modified.
            generator: Source of all randomness.

        Returns:
            Augmented images, (N, 3, S, S) uint8.

        Raises:
            TypeError: The images are not uint8.
            ValueError: The images do not have shape (N, 3, H, W).
        """
        check_images(images)
        for step in self.steps:
            images = step(images, generator)
        return images


class RandomCrop:
    """Crops at a uniformly drawn position after padding with black.

    Args:
        padding: Padding on each side in pixels.
        size: Height and width of the result; None: those of the images.
    """

    def __init__(self, padding: int, size: tuple[int, int] | None = None) -> None:
        self.padding = padding
        self.size = size

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return crops, (N, 3, *size) uint8, of images (N, 3, H, W) uint8.

        Raises:
            ValueError: The padded images are smaller than the crop.
        """
        height, width = images.shape[2:]
        rows, columns = self.size or (height, width)
        room = (height + 2 * self.padding - rows, width + 2 * self.padding - columns)
        if min(room) < 0:
            raise ValueError(f"a {rows} x {columns} crop does not fit into {height} x {width} padded by {self.padding}")
        tops = integers(room[0] + 1, (len(images),), generator=generator) - self.padding
        lefts = integers(room[1] + 1, (len(images),), generator=generator) - self.padding
        reach = (self.padding, self.padding)
        return geometry.window(images, tops=tops, lefts=lefts, size=(rows, columns), reach=reach)


class RandomFlip:
    """Flips each image with a given probability.

    Args:
        p: Probability, in 0..1.
        dim: -1 flips horizontally, -2 vertically.
    """

    def __init__(self, p: float = 0.5, *, dim: int = -1) -> None:
        self.p = p
        self.dim = dim

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return flipped or unchanged images, (N, 3, H, W) uint8."""
        return geometry.flip(images, self.chosen(len(images), generator), dim=self.dim)

    def chosen(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw which of a number of images are flipped, (N,) bool."""
        return uniform((count,), generator=generator) < self.p

    def chosen_one(self, generator: torch.Generator) -> bool:
        """Draw whether a single image is flipped."""
        return uniform_list(1, generator)[0] < self.p


class RandomRotation:
    """Rotates each image by an angle from U(-degrees, degrees), with nearest-neighbor sampling and black corners.

    Args:
        degrees: Largest angle in degrees.
    """

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return rotated images, (N, 3, H, W) uint8."""
        angles = uniform((len(images),), generator=generator, low=-self.degrees, high=self.degrees)
        return geometry.rotate(images, angles, fill=0)


class Cutout:
    """Sets one square per image to black. Its center is uniform over the image, and it is clipped at the border.

    As in the release of NCL, this happens before normalization: the square is black, not the mean color.

    Args:
        length: Side of the square in pixels.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return images with a black square, (N, 3, H, W) uint8."""
        rows = integers(images.shape[2], (len(images),), generator=generator)
        columns = integers(images.shape[3], (len(images),), generator=generator)
        return geometry.cutout(images, rows=rows, columns=columns, length=self.length)
