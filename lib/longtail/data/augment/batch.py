"""What every batched image operation needs: checks, per-image numbers, whole-number pixels, random draws."""

import torch
from torch import Tensor


def check_images(images: Tensor) -> None:
    """Refuse anything but a batch of uint8 colour images.

    Args:
        images: what should be uint8 (N, 3, H, W).

    Raises:
        TypeError: not a tensor, or not uint8.
        ValueError: not of shape (N, 3, H, W).
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor, got {type(images).__name__}")
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8 in 0..255, got {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must have shape (N, 3, H, W), got {tuple(images.shape)}")


def per_image(values: Tensor, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Return one number per image in a shape that meets the pixels.

    Args:
        values: (N,) on any device.
        images: (N, 3, H, W).
        dtype: type of the result.

    Returns:
        (N, 1, 1, 1) on the device of the images.
    """
    return values.to(dtype).to(images.device).view(-1, 1, 1, 1)


def to_pixels(values: Tensor) -> Tensor:
    """Clip to 0..255 and drop the fraction, as Pillow does; changes `values`.

    Args:
        values: floating point pixels of any shape.

    Returns:
        uint8 of the same shape.
    """
    # Two steps, because the direct conversion from floating point to uint8 is not vectorised on CPUs.
    return values.clamp_(0, 255).to(torch.int16).to(torch.uint8)


def uniform(shape: tuple[int, ...], generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Draw float64 numbers from U(low, high) on the generator's device.

    Args:
        shape: of the result.
        generator: the only source of randomness.
        low: lower end.
        high: upper end.

    Returns:
        float64 tensor of that shape.
    """
    draws = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
    return draws * (high - low) + low


def integers(high: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw whole numbers from 0..high-1 on the generator's device.

    Args:
        high: one more than the largest number.
        shape: of the result.
        generator: the only source of randomness.

    Returns:
        int64 tensor of that shape.
    """
    return torch.randint(high, shape, generator=generator, device=generator.device)
