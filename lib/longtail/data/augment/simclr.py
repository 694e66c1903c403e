"""The steps of SimCLR's augmentation (Chen et al., arXiv 2002.05709) as NCL's release uses them on CIFAR.

NCL's chain for the key view: random resized crop (scale 0.2..1, ratio 3/4..4/3, back to the images' own
size), flip 0.5, colour jitter (0.4, 0.4, 0.4, 0.1) with chance 0.8, grey with chance 0.2, Pillow's Gaussian
blur with chance 0.5 and radius U(0.1, 2).

Each step computes what torchvision computes on PIL images, bit for bit given the same random numbers.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from longtail.data.augment import color
from longtail.data.augment.batch import check_images, uniform
from longtail.data.augment.hue import shift_hue
from longtail.data.augment.resample import enlarge_boxes, gaussian_blur

_TRIES = 10  # torchvision's number of attempts at a box that fits


def random_boxes(
    count: int,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Draw boxes by the rule of torchvision's `RandomResizedCrop`.

    Ten candidates are drawn per image and the first that fits is taken; where none fits, the box is the
    largest central one whose aspect ratio is within bounds.

    Args:
        count: number of boxes N.
        size: height and width of the images in pixels.
        scale: bounds of the box's share of the area.
        ratio: bounds of width / height, drawn log-uniformly.
        generator: the only source of randomness.

    Returns:
        int64 (N, 4) on the generator's device: top, left, height, width.
    """
    height, width = size
    area = uniform((count, _TRIES), generator, *scale) * (height * width)
    aspect = uniform((count, _TRIES), generator, math.log(ratio[0]), math.log(ratio[1])).exp()
    place = uniform((count, 2), generator)
    if count == 1:
        box = _first_box(area[0].tolist(), aspect[0].tolist(), place[0].tolist(), size)
        return torch.tensor([box or _central_box(height, width, ratio)], device=generator.device)
    wide = (area * aspect).sqrt().round().long()
    tall = (area / aspect).sqrt().round().long()
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = fits.to(torch.uint8).argmax(1, keepdim=True)
    tall, wide = tall.gather(1, first)[:, 0], wide.gather(1, first)[:, 0]
    top = (place[:, 0] * (height - tall + 1)).long()
    left = (place[:, 1] * (width - wide + 1)).long()
    boxes = torch.stack((top, left, tall, wide), 1)
    return torch.where(fits.any(1, keepdim=True), boxes, boxes.new_tensor(_central_box(height, width, ratio)))


def _first_box(
    areas: list[float], aspects: list[float], place: list[float], size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Return the first candidate that fits, as `random_boxes` does for many images at once, in fewer operations."""
    height, width = size
    for area, aspect in zip(areas, aspects, strict=True):
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            return int(place[0] * (height - tall + 1)), int(place[1] * (width - wide + 1)), tall, wide
    return None


def _central_box(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    tall, wide = height, width
    if width / height < ratio[0]:
        tall = round(width / ratio[0])
    elif width / height > ratio[1]:
        wide = round(height * ratio[1])
    return (height - tall) // 2, (width - wide) // 2, tall, wide


class RandomResizedCrop:
    """Blow a random box of each image up to the images' own size.

    Args:
        scale: bounds of the box's share of the area.
        ratio: bounds of width / height.
    """

    def __init__(self, scale: tuple[float, float] = (0.2, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)) -> None:
        self.scale = scale
        self.ratio = ratio

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return enlarged boxes, uint8 (N, 3, H, W)."""
        height, width = images.shape[2:]
        boxes = random_boxes(len(images), (height, width), self.scale, self.ratio, generator)
        return enlarge_boxes(images, boxes)


class ColorJitter:
    """Change brightness, contrast, saturation and hue in an order of each image's own.

    Args:
        brightness: the factor is drawn from U(1 - brightness, 1 + brightness); nothing below 0.
        contrast: likewise.
        saturation: likewise.
        hue: the shift is drawn from U(-hue, hue), in turns of the colour circle; 0 leaves hue out.
        chance: of an image being changed at all.
    """

    def __init__(
        self, brightness: float, contrast: float, saturation: float, hue: float = 0.0, chance: float = 1.0
    ) -> None:
        self.chance = chance
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
        """Return jittered images, uint8 (N, 3, H, W)."""
        check_images(images)
        count, kinds = len(images), len(self._changes)
        chosen = uniform((count,), generator).cpu() < self.chance
        amounts = torch.stack([uniform((count,), generator, *bounds) for bounds in self._bounds], 1).cpu()
        orders = uniform((count, kinds), generator).argsort(1).cpu()
        orders[~chosen] = kinds
        if count == 1:  # an image from a file: nothing to bring side by side
            for kind in orders[0].tolist():
                if kind < kinds:
                    images = self._changes[kind](images, amounts[:, kind])
            return images
        origin = torch.arange(count)
        # As in AutoAugment: images due for the same change are brought side by side.
        for turn in range(kinds):
            order = orders[origin, turn].argsort(stable=True)
            images = images.index_select(0, order.to(images.device))
            origin = origin[order]
            sizes = torch.bincount(orders[origin, turn], minlength=kinds + 1).tolist()
            start = 0
            for kind, size in enumerate(sizes[:kinds]):
                if size:
                    part = slice(start, start + size)
                    images[part] = self._changes[kind](images[part], amounts[origin[part], kind])
                    start += size
        return images.index_select(0, origin.argsort().to(images.device))


class RandomGrey:
    """Take the colour from each image with a given chance.

    Args:
        chance: in 0..1.
    """

    def __init__(self, chance: float = 0.2) -> None:
        self.chance = chance

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return grey or equal images, uint8 (N, 3, H, W)."""
        chosen = (uniform((len(images),), generator) < self.chance).nonzero()[:, 0].to(images.device)
        return images.index_copy(0, chosen, color.grey(images.index_select(0, chosen)))


class RandomBlur:
    """Blur each image with a given chance and a radius of its own.

    Args:
        chance: in 0..1.
        radius: bounds of the standard deviation in pixels.
    """

    def __init__(self, chance: float = 0.5, radius: tuple[float, float] = (0.1, 2.0)) -> None:
        self.chance = chance
        self.radius = radius

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return blurred or equal images, uint8 (N, 3, H, W)."""
        draws = uniform((len(images),), generator)
        radii = uniform((len(images),), generator, *self.radius)
        chosen = (draws < self.chance).nonzero()[:, 0]
        radii, chosen = radii[chosen], chosen.to(images.device)
        return images.index_copy(0, chosen, gaussian_blur(images.index_select(0, chosen), radii))
