"""A policy that augments one image with OpenCV."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from longtail.data.augment.batch import check_images
from longtail.data.augment.fast import operations
from longtail.data.augment.fast.operations import Pixels
from longtail.data.augment.fast.randaugment import OPERATIONS
from longtail.data.augment.randaugment import OPERATIONS as RELEASED_OPERATIONS
from longtail.data.augment.randaugment import RandAugment
from longtail.data.augment.resample import resize
from longtail.data.augment.simclr import ColorJitter, RandomBlur, RandomGrayscale, random_box
from longtail.data.augment.steps import Chain, Policy, RandomFlip
from longtail.data.augment.transforms import RandomResizedCropTo

Step = Callable[[Pixels, torch.Generator], Pixels]

_JITTERS = (operations.brightness, operations.contrast, operations.color)
_DRAWN = tuple(OPERATIONS[name] for name in RELEASED_OPERATIONS)  # by the codes that are drawn


class FastPolicy:
    """A policy applied to one image, with the same random numbers, and with OpenCV where that is faster.

    Images are still resized by PyTorch, so the crops are equal. Steps without a counterpart run unchanged. Drawing with
    tensors would take as long as the color operations, so the random numbers of one image are drawn as Python floats.

    Args:
        policy: The policy.
    """

    def __init__(self, policy: Policy) -> None:
        steps = policy.steps if isinstance(policy, Chain) else (policy,)
        self.steps = [_fast(step) for step in steps]

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the augmented image.

        Args:
            images: One image, (1, 3, H, W) uint8, on the CPU.
            generator: Source of all randomness.

        Returns:
            The image, (1, 3, S, S) uint8.

        Raises:
            TypeError: The image is not uint8.
            ValueError: There is not exactly one image.
        """
        check_images(images)
        if len(images) != 1:
            raise ValueError(f"a fast policy takes one image, got {len(images)}")
        pixels = images[0].permute(1, 2, 0).numpy()
        for step in self.steps:
            pixels = step(pixels, generator)
        planes = np.empty((1, 3, *pixels.shape[:2]), np.uint8)
        cv2.split(pixels, list(planes[0]))
        return torch.from_numpy(planes)


def _fast(step: Policy) -> Step:
    """Return the counterpart of a step for (H, W, 3) uint8."""
    if isinstance(step, RandomResizedCropTo):
        return lambda pixels, generator: _resized_crop(step, pixels, generator)
    if isinstance(step, RandomFlip):
        return lambda pixels, generator: _flip(step, pixels, generator)
    if isinstance(step, ColorJitter) and not step.hue:
        return lambda pixels, generator: _jitter(step, pixels, generator)
    if isinstance(step, RandomGrayscale):
        return lambda pixels, generator: operations.grayscale(pixels) if step.chosen_one(generator) else pixels
    if isinstance(step, RandomBlur):
        return lambda pixels, generator: _blur(step, pixels, generator)
    if isinstance(step, RandAugment):
        return lambda pixels, generator: _randaugment(step, pixels, generator)
    return lambda pixels, generator: _by_tensor(step, pixels, generator)


def _by_tensor(step: Policy, pixels: Pixels, generator: torch.Generator) -> Pixels:
    return _channels_last(step(_as_image(pixels), generator))


def _as_image(pixels: Pixels) -> Tensor:
    # Channels-last also in the stride of the first axis, which PyTorch looks at, and then resizes twice as fast.
    return torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)


def _channels_last(images: Tensor) -> Pixels:
    pixels: Pixels = images[0].permute(1, 2, 0).numpy()
    return pixels


def _resized_crop(step: RandomResizedCropTo, pixels: Pixels, generator: torch.Generator) -> Pixels:
    box = random_box(pixels.shape[:2], scale=step.scale, ratio=step.ratio, generator=generator)
    top, left, tall, wide = box
    return _channels_last(resize(_as_image(pixels[top : top + tall, left : left + wide]), step.size))


def _flip(step: RandomFlip, pixels: Pixels, generator: torch.Generator) -> Pixels:
    if not step.chosen_one(generator):
        return pixels
    return cv2.flip(pixels, 1 if step.dim == -1 else 0)


def _jitter(step: ColorJitter, pixels: Pixels, generator: torch.Generator) -> Pixels:
    for kind, amount in step.draw_one(generator):
        pixels = _JITTERS[kind](pixels, amount)
    return pixels


def _blur(step: RandomBlur, pixels: Pixels, generator: torch.Generator) -> Pixels:
    radius = step.draw_one(generator)
    return pixels if radius is None else operations.blur(pixels, radius)


def _randaugment(step: RandAugment, pixels: Pixels, generator: torch.Generator) -> Pixels:
    for code, level, kind in step.draw_one(generator):
        pixels = _DRAWN[code](pixels, level, kind)
    return pixels
