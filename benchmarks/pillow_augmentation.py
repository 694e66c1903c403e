"""The released augmentation with Pillow, image by image: the baseline of the batched policies."""

import math
import random
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from longtail.data.augment.autoaugment import OPERATIONS, SUB_POLICIES
from longtail.data.augment.randaugment import OPERATIONS as RAND_OPERATIONS
from longtail.data.augment.randaugment import SIGNED

GRAY = (128, 128, 128)


def affine(image: Image.Image, matrix: tuple[float, ...], resample: int = Image.Resampling.NEAREST) -> Image.Image:
    """Return Pillow's affine transform with gray outside."""
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=GRAY)


def rotate(image: Image.Image, angle: float) -> Image.Image:
    """Return the rotated image with gray corners, as NCL does."""
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
    "Solarize": lambda image, m: ImageOps.solarize(image, m),  # type: ignore[arg-type]  # a fraction, as released
    "AutoContrast": lambda image, m: ImageOps.autocontrast(image),
    "Equalize": lambda image, m: ImageOps.equalize(image),
    "Invert": lambda image, m: ImageOps.invert(image),
}


def small(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """Augment one small image (H, W, 3): crop, flip, AutoAugment for CIFAR-10, Cutout (policy `autoaugment`)."""
    image = Image.fromarray(array)
    width, height = image.size
    padded = ImageOps.expand(image, 4, 0)
    left, top = rng.randint(0, 8), rng.randint(0, 8)
    image = flipped(padded.crop((left, top, left + width, top + height)), rng)
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


def large(image: Image.Image, size: int, *, rng: random.Random) -> np.ndarray:
    """Augment one opened image: resized crop, flip, jitter, RandAugment (policy `randaugment`), (size, size, 3)."""
    image = resized_crop(image.convert("RGB"), size, rng)
    image = flipped(image, rng)
    jitters = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
    rng.shuffle(jitters)
    for jitter in jitters:
        image = jitter(image).enhance(rng.uniform(0.6, 1.4))
    return np.array(randaugment(image, rng))


def randaugment(image: Image.Image, rng: random.Random) -> Image.Image:
    """Apply two operations of RandAugment, each with p = 0.5."""
    for _ in range(2):
        name = rng.choice(list(RAND_OPERATIONS))
        if rng.random() < 0.5:
            level = min(max(rng.gauss(10, 0.5), 0), 10) / 10
            level *= rng.choice((-1, 1)) if name in SIGNED else 1
            kind = rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC))
            image = RAND_OPERATIONS[name](image, level, kind)
    return image


def flipped(image: Image.Image, rng: random.Random) -> Image.Image:
    """Flip an image with p = 0.5."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def resized_crop(image: Image.Image, size: int, rng: random.Random) -> Image.Image:
    """Resize a random box to a square, by the rule of torchvision's `RandomResizedCrop`."""
    width, height = image.size
    box = (0, 0, width, height)
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            left, top = rng.randint(0, width - wide), rng.randint(0, height - tall)
            box = (left, top, left + wide, top + tall)
            break
    return image.crop(box).resize((size, size), Image.Resampling.BILINEAR)


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """Return (3, H, W) uint8 of (H, W, 3)."""
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()
