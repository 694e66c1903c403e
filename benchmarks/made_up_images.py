"""Synthetic images for the benchmarks, smooth and colored, and JPEG files of them."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from longtail.data.long_tail import class_counts


def smooth_images(count: int, height: int, width: int, *, seed: int = 0) -> Tensor:
    """Return uint8 images (N, 3, H, W) with natural histograms."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 255
    images = F.interpolate(coarse, size=(height, width), mode="bicubic")
    return images.clamp_(0, 255).to(torch.uint8)


def long_tailed_labels(count: int, classes: int = 10, *, ratio: float = 0.01) -> Tensor:
    """Return class ids (N,) with long-tailed counts (the published rule); N is at least twice the number of classes."""
    shares = torch.tensor(class_counts(100_000, classes, ratio), dtype=torch.float64)
    counts = (shares / shares.sum() * count).long().clamp_(min=1)
    counts[0] += count - counts.sum()
    return torch.arange(classes).repeat_interleave(counts)


def write_jpegs(folder: Path, count: int, *, height: int = 375, width: int = 500) -> list[Path]:
    """Write JPEG files with the resolution and file size of ImageNet's (about 110 KB) and return their paths."""
    images = smooth_images(count, height, width)
    grain = torch.randint(-24, 25, images.shape, generator=torch.Generator().manual_seed(1))
    images = (images + grain).clamp_(0, 255).to(torch.uint8)
    paths = []
    for number, image in enumerate(images):
        path = folder / f"{number}.jpg"
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(path, quality=85)
        paths.append(path)
    return paths
