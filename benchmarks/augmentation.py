"""The `autoaugment` policy compared with the same pipeline image by image in Pillow, on one core.

Both take uint8 tensors to uint8 tensors: random crop, flip, AutoAugment for CIFAR-10, Cutout.
"""

import random
import time

import numpy as np
import pillow_augmentation
import torch
from made_up_images import smooth_images
from measuring import Row, interleaved, threads

from longtail.data.augment import AutoAugment, Chain, Cutout, RandomCrop, RandomFlip


def pillow(images: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """Augment a batch (N, 3, H, W) image by image."""
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
    augmented = np.stack([pillow_augmentation.small(array, rng) for array in arrays])
    return torch.from_numpy(augmented).permute(0, 3, 1, 2).contiguous()


def measure(images: int = 1024, size: int = 32, *, rounds: int = 5, calls: int = 8) -> list[Row]:
    """Return the row; see the module.

    Args:
        images: Images per call.
        size: Their height and width in pixels.
        rounds: Number of interleaved rounds.
        calls: Calls per round; the first allocates memory that the later ones reuse, as in training.
    """
    pixels = smooth_images(images, size, size)
    policy = Chain([RandomCrop(4), RandomFlip(), AutoAugment(), Cutout(16)])
    generator, rng = torch.Generator().manual_seed(1), random.Random(1)
    with threads(1):
        times = interleaved(
            {
                "ours": lambda: [policy(pixels, generator) for _ in range(calls)],
                "pillow": lambda: [pillow(pixels, rng) for _ in range(calls)],
            },
            rounds,
            clock=time.process_time,
        )
    return [
        Row(
            "augmentation, 32 x 32, 1 core",
            "images/s",
            calls * images / times["ours"].median,
            calls * images / times["pillow"].median,
            note=f"{calls} calls of {images} images a round, median of {rounds} rounds, CPU time",
        )
    ]
