"""The steps of the SimCLR augmentation (Chen et al., arXiv 2002.05709) as the release of NCL uses them on CIFAR.

The key view of NCL: random resized crop (scale 0.2..1, ratio 3/4..4/3, resized to the original size), flip with
probability 0.5, color jitter (0.4, 0.4, 0.4, 0.1) with probability 0.8, grayscale with probability 0.2, Pillow's
Gaussian blur with probability 0.5 and radius U(0.1, 2).

Given the same random numbers, each step is bit-identical to torchvision on PIL images.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from longtail.data.augment import color
from longtail.data.augment.batch import check_images, moved, uniform, uniform_list
from longtail.data.augment.hue import shift_hue
from longtail.data.augment.resample import enlarge_boxes, gaussian_blur

Box = tuple[int, int, int, int]  # top, left, height, width

_TRIES = 10  # candidate boxes per image, as in torchvision


def random_boxes(
    count: int,
    size: tuple[int, int],
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Draw boxes by the rule of torchvision's `RandomResizedCrop`.

    Ten candidates are drawn per image, and the first that fits is used. If none fits, the box is the largest central
    one whose aspect ratio is within the bounds.

    Args:
        count: Number of boxes N.
        size: Height and width of the images in pixels.
        scale: Bounds of the area of the box as a fraction of the area of the image.
        ratio: Bounds of width / height, drawn log-uniformly.
        generator: Source of all randomness.

    Returns:
        Top, left, height and width of each box, (N, 4) int64, on the device of the generator.
    """
    if count == 1:
        box = random_box(size, scale=scale, ratio=ratio, generator=generator)
        return torch.tensor([box], device=generator.device)
    height, width = size
    shape = (count, _TRIES)
    area = uniform(shape, generator=generator, low=scale[0], high=scale[1]) * (height * width)
    aspect = uniform(shape, generator=generator, low=math.log(ratio[0]), high=math.log(ratio[1])).exp()
    place = uniform((count, 2), generator=generator)
    wide = (area * aspect).sqrt().round().long()
    tall = (area / aspect).sqrt().round().long()
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = fits.to(torch.uint8).argmax(1, keepdim=True)
    tall, wide = tall.gather(1, first)[:, 0], wide.gather(1, first)[:, 0]
    top = (place[:, 0] * (height - tall + 1)).long()
    left = (place[:, 1] * (width - wide + 1)).long()
    boxes = torch.stack((top, left, tall, wide), 1)
    return torch.where(fits.any(1, keepdim=True), boxes, boxes.new_tensor(_central_box(size, ratio)))


def random_box(
    size: tuple[int, int], *, scale: tuple[float, float], ratio: tuple[float, float], generator: torch.Generator
) -> Box:
    """Draw the box of a single image by the rule of `random_boxes`, but faster.

    Returns:
        Top, left, height and width.
    """
    height, width = size
    low, high = math.log(ratio[0]), math.log(ratio[1])
    # One call gives the same numbers as separate calls.
    *draws, row, column = uniform_list(2 * _TRIES + 2, generator)
    for first, second in zip(draws[:_TRIES], draws[_TRIES:], strict=True):
        area = (first * (scale[1] - scale[0]) + scale[0]) * (height * width)
        aspect = math.exp(second * (high - low) + low)
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            return int(row * (height - tall + 1)), int(column * (width - wide + 1)), tall, wide
    return _central_box(size, ratio)


def _central_box(size: tuple[int, int], ratio: tuple[float, float]) -> Box:
    """Return the largest central box whose aspect ratio is within the bounds: top, left, height, width."""
    height, width = tall, wide = size
    if width / height < ratio[0]:
        tall = round(width / ratio[0])
    elif width / height > ratio[1]:
        wide = round(height * ratio[1])
    return (height - tall) // 2, (width - wide) // 2, tall, wide


class RandomResizedCrop:
    """Resizes a random box of each image to the original size.

    Args:
        scale: Bounds of the area of the box as a fraction of the area of the image.
        ratio: Bounds of width / height.
    """

    def __init__(self, *, scale: tuple[float, float] = (0.2, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)) -> None:
        self.scale = scale
        self.ratio = ratio

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return resized boxes, (N, 3, H, W) uint8."""
        height, width = images.shape[2:]
        boxes = random_boxes(len(images), (height, width), scale=self.scale, ratio=self.ratio, generator=generator)
        return enlarge_boxes(images, boxes)


class ColorJitter:
    """Changes brightness, contrast, saturation and hue, in a random order for each image.

    Args:
        brightness: The factor is drawn from U(1 - brightness, 1 + brightness), with a lower bound of at least 0.
        contrast: As brightness.
        saturation: As brightness.
        hue: The shift is drawn from U(-hue, hue), as a fraction of the color circle; 0: the hue is not changed.
        p: Probability that an image is changed.
    """

    def __init__(
        self, *, brightness: float, contrast: float, saturation: float, hue: float = 0.0, p: float = 1.0
    ) -> None:
        self.p = p
        self.hue = hue
        self._bounds = [(max(0.0, 1 - width), 1 + width) for width in (brightness, contrast, saturation)]
        self._changes: list[Callable[[Tensor, Tensor], Tensor]] = [
            color.brightness,
            color.contrast,
            color.color,
        ]
        if hue:
            self._bounds.append((-hue, hue))
            self._changes.append(shift_hue)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return jittered images, (N, 3, H, W) uint8."""
        check_images(images)
        count, kinds = len(images), len(self._changes)
        if count == 1:  # an image from a file: no need to sort
            for kind, amount in self.draw_one(generator):
                images = self._changes[kind](images, torch.tensor([amount], dtype=torch.float64))
            return images
        amounts, orders = self.draw(count, generator)
        origin = torch.arange(count)
        # As in AutoAugment: images with the same change are sorted next to each other.
        for slot in range(kinds):
            order = orders[origin, slot].argsort(stable=True)
            images = images.index_select(0, moved(order, images))
            origin = origin[order]
            sizes = torch.bincount(orders[origin, slot], minlength=kinds + 1).tolist()
            start = 0
            for kind, size in enumerate(sizes[:kinds]):
                if size:
                    part = slice(start, start + size)
                    images[part] = self._changes[kind](images[part], amounts[origin[part], kind])
                    start += size
        return images.index_select(0, moved(origin.argsort(), images))

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the changes of a number of images.

        Returns:
            The amount of each change, (N, K) float64: brightness, contrast, saturation and, if it is changed, hue; and
            the order of the changes, (N, K) int64, K where there is none. Both are on the CPU.
        """
        kinds = len(self._changes)
        # One call gives the same numbers as separate calls, and the overhead of a call dominates.
        draws = uniform((count * (1 + 2 * kinds),), generator=generator).cpu()
        chosen = draws[:count] < self.p
        low, high = torch.tensor(self._bounds, dtype=torch.float64).T[:, :, None]
        amounts = (draws[count : count * (1 + kinds)].view(kinds, count) * (high - low) + low).T
        orders = draws[count * (1 + kinds) :].view(count, kinds).argsort(1)
        orders[~chosen] = kinds
        return amounts, orders

    def draw_one(self, generator: torch.Generator) -> list[tuple[int, float]]:
        """Draw the changes of a single image like `draw`: their kinds and amounts, in the order of application."""
        kinds = len(self._changes)
        chosen, *draws = uniform_list(1 + 2 * kinds, generator)
        if chosen >= self.p:
            return []
        amounts = [draw * (high - low) + low for draw, (low, high) in zip(draws, self._bounds, strict=False)]
        order = sorted(range(kinds), key=draws[kinds:].__getitem__)
        return [(kind, amounts[kind]) for kind in order]


class RandomGrayscale:
    """Converts each image to grayscale with a given probability.

    Args:
        p: Probability, in 0..1.
    """

    def __init__(self, p: float = 0.2) -> None:
        self.p = p

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return gray or unchanged images, (N, 3, H, W) uint8."""
        chosen = moved(self.chosen(len(images), generator).nonzero()[:, 0], images)
        return images.index_copy(0, chosen, color.grayscale(images.index_select(0, chosen)))

    def chosen(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw which of a number of images become gray, (N,) bool."""
        return uniform((count,), generator=generator) < self.p

    def chosen_one(self, generator: torch.Generator) -> bool:
        """Draw whether a single image becomes gray."""
        return uniform_list(1, generator)[0] < self.p


class RandomBlur:
    """Blurs each image with a given probability and its own radius.

    Args:
        p: Probability, in 0..1.
        radius: Bounds of the standard deviation in pixels.
    """

    def __init__(self, p: float = 0.5, *, radius: tuple[float, float] = (0.1, 2.0)) -> None:
        self.p = p
        self.radius = radius

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return blurred or unchanged images, (N, 3, H, W) uint8."""
        mask, radii = self.draw(len(images), generator)
        chosen = mask.nonzero()[:, 0]
        radii, chosen = radii[chosen], moved(chosen, images)
        return images.index_copy(0, chosen, gaussian_blur(images.index_select(0, chosen), radii))

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw which of a number of images are blurred, (N,) bool, and their radii, (N,) float64."""
        draws = uniform((count,), generator=generator)
        low, high = self.radius
        return draws < self.p, uniform((count,), generator=generator, low=low, high=high)

    def draw_one(self, generator: torch.Generator) -> float | None:
        """Draw the radius of a single image; None: it is not blurred."""
        low, high = self.radius
        chosen, radius = uniform_list(2, generator)
        return radius * (high - low) + low if chosen < self.p else None
