"""Made-up images with the statistics of photographs: smooth areas, edges and texture."""

import io
from typing import Any

import numpy as np
from PIL import Image


def photograph(height: int = 150, width: int = 200, *, seed: int = 0) -> np.ndarray:
    """Return pixels (H, W, 3) uint8: noise whose amplitude falls with the frequency, and a few rectangles."""
    random = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    amplitude = 1 / np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(3, height, width))) * amplitude).real
    mixed = np.einsum("dc,chw->hwd", np.eye(3) + 0.7, noise)
    pixels = 128 + 50 * (mixed - mixed.mean()) / mixed.std()
    for _ in range(4):
        top, left = random.integers(height - 20), random.integers(width - 20)
        pixels[top : top + 20, left : left + 20] = random.integers(0, 256, 3)
    return pixels.clip(0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, *, mode: str = "RGB", **options: Any) -> bytes:
    """Return the bytes of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", **{"quality": 90, **options})
    return file.getvalue()
