"""Measure the `autoaugment` policy against the same pipeline written image by image with Pillow, on one core.

    python benchmarks/augmentation.py [--images 1024] [--size 32] [--rounds 7]

Both take uint8 tensors to uint8 tensors: random crop, flip, AutoAugment for CIFAR-10, Cutout. The two run
in turns in one process and the medians are printed in microseconds per image.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from longtail.data.augment import AutoAugment, Chain, Cutout, RandomCrop, RandomFlip
from longtail.data.augment.autoaugment import OPERATIONS, SUB_POLICIES

GREY = (128, 128, 128)


def affine(image: Image.Image, matrix: tuple[float, ...], resample: int = Image.Resampling.NEAREST) -> Image.Image:
    """Return Pillow's affine transform with grey outside."""
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=GREY)


def rotate(image: Image.Image, angle: float) -> Image.Image:
    """Return the image turned, with grey corners, in the way of NCL's release."""
    turned = image.convert("RGBA").rotate(angle)
    return Image.composite(turned, Image.new("RGBA", turned.size, (128,) * 4), turned).convert("RGB")


PILLOW: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "ShearX": lambda image, m: affine(image, (1, m, 0, 0, 1, 0), Image.Resampling.BICUBIC),
    "ShearY": lambda image, m: affine(image, (1, 0, 0, m, 1, 0), Image.Resampling.BICUBIC),
    "TranslateX": lambda image, m: affine(image, (1, 0, m * image.size[0], 0, 1, 0)),
    "TranslateY": lambda image, m: affine(image, (1, 0, 0, 0, 1, m * image.size[1])),
    "Rotate": rotate,
    "Color": lambda image, m: ImageEnhance.Color(image).enhance(1 + m),
    "Contrast": lambda image, m: ImageEnhance.Contrast(image).enhance(1 + m),
    "Brightness": lambda image, m: ImageEnhance.Brightness(image).enhance(1 + m),
    "Sharpness": lambda image, m: ImageEnhance.Sharpness(image).enhance(1 + m),
    "Posterize": lambda image, m: ImageOps.posterize(image, int(m)),
    "Solarize": lambda image, m: ImageOps.solarize(image, m),
    "AutoContrast": lambda image, m: ImageOps.autocontrast(image),
    "Equalize": lambda image, m: ImageOps.equalize(image),
    "Invert": lambda image, m: ImageOps.invert(image),
}


def pillow_one(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """Augment one image (H, W, 3) with Pillow."""
    image = Image.fromarray(array)
    width, height = image.size
    padded = ImageOps.expand(image, 4, 0)
    left, top = rng.randint(0, 8), rng.randint(0, 8)
    image = padded.crop((left, top, left + width, top + height))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for name, tenths, index in rng.choice(SUB_POLICIES):
        if rng.random() < tenths / 10:
            magnitude = OPERATIONS[name].magnitude(index)
            if OPERATIONS[name].signed:
                magnitude *= rng.choice((-1, 1))
            image = PILLOW[name](image, magnitude)
    result = np.array(image)
    row, column = rng.randrange(height), rng.randrange(width)
    result[max(row - 8, 0) : row + 8, max(column - 8, 0) : column + 8] = 0
    return result


def pillow(images: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """Augment a batch (N, 3, H, W) image by image."""
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
    return torch.from_numpy(np.stack([pillow_one(array, rng) for array in arrays])).permute(0, 3, 1, 2).contiguous()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()

    torch.set_num_threads(1)
    # Smooth pictures rather than noise: nothing here depends on content, but histograms should look natural.
    coarse = torch.rand(args.images, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    images = torch.nn.functional.interpolate(coarse, size=(args.size, args.size), mode="bicubic")
    images = images.clamp(0, 255).to(torch.uint8)
    policy = Chain([RandomCrop(4), RandomFlip(), AutoAugment(), Cutout(16)])
    generator, rng = torch.Generator().manual_seed(1), random.Random(1)

    policy(images, generator)
    pillow(images[:64], rng)
    ours, theirs = [], []
    for _ in range(args.rounds):
        start = time.perf_counter()
        for _ in range(4):
            policy(images, generator)
        middle = time.perf_counter()
        pillow(images, rng)
        ours.append((middle - start) / 4)
        theirs.append(time.perf_counter() - middle)
    mine, baseline = (statistics.median(times) / args.images * 1e6 for times in (ours, theirs))
    print(f"{args.images} images of {args.size} x {args.size}, median of {args.rounds} rounds, one thread")
    print(f"longtail {mine:8.2f} us per image")
    print(f"Pillow   {baseline:8.2f} us per image")
    print(f"ratio    {baseline / mine:8.2f}")


if __name__ == "__main__":
    main()
