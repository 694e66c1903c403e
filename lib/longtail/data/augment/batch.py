"""Helpers of the batched image operations: checks, copies to the device, rounding to pixels, random draws."""

import torch
from torch import Tensor


def check_images(images: Tensor) -> None:
    """Check that images are a batch of uint8 color images.

    Args:
        images: Images, (N, 3, H, W) uint8.

    Raises:
        TypeError: The images are not a tensor, or not uint8.
        ValueError: The images do not have shape (N, 3, H, W).
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor, got {type(images).__name__}")
    if images.dtype != torch.uint8:
        raise TypeError(f"images must be uint8 in 0..255, got {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must have shape (N, 3, H, W), got {tuple(images.shape)}")


def moved(values: Tensor, images: Tensor) -> Tensor:
    """Return values on the device of the images, without waiting for the GPU.

    A blocking copy would wait for all work that the GPU has been given, and then the GPU would wait for the host.

    Args:
        values: Tensor in ordinary memory, which CUDA copies before this returns, or on the device of the images.
        images: Images of any shape.
    """
    return values.to(images.device, non_blocking=True)


def per_image(values: Tensor, images: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Return one value per image in a shape that broadcasts over its pixels.

    Args:
        values: Values, (N,), on any device.
        images: Images, (N, 3, H, W).
        dtype: Type of the result.

    Returns:
        The values, (N, 1, 1, 1), on the device of the images.
    """
    return moved(values.to(dtype), images).view(-1, 1, 1, 1)


def to_pixels(values: Tensor) -> Tensor:
    """Clip to 0..255 and truncate, as Pillow does; modifies `values` in place.

    Args:
        values: Floating point pixels of any shape.

    Returns:
        Pixels of the same shape, uint8.
    """
    # Two steps, because the direct conversion from floating point to uint8 is not vectorized on CPUs.
    return values.clamp_(0, 255).to(torch.int16).to(torch.uint8)


def uniform(shape: tuple[int, ...], *, generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Draw float64 numbers from U(low, high) on the device of the generator.

    Args:
        shape: Shape of the result.
        generator: Source of all randomness.
        low: Lower bound.
        high: Upper bound.

    Returns:
        A float64 tensor of this shape.
    """
    draws = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
    return draws if (low, high) == (0.0, 1.0) else draws * (high - low) + low


def uniform_list(count: int, generator: torch.Generator) -> list[float]:
    """Draw the same numbers from U(0, 1) as `uniform`, as Python floats, which are faster for a single image.

    Args:
        count: Number of numbers.
        generator: Source of all randomness.
    """
    draws: list[float] = uniform((count,), generator=generator).tolist()
    return draws


def integers(high: int, shape: tuple[int, ...], *, generator: torch.Generator) -> Tensor:
    """Draw integers from 0..high-1 on the device of the generator.

    Args:
        high: Exclusive upper bound.
        shape: Shape of the result.
        generator: Source of all randomness.

    Returns:
        An int64 tensor of this shape.
    """
    return torch.randint(high, shape, generator=generator, device=generator.device)
