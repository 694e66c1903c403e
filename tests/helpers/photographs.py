"""Synthetic images with the statistics of photographs: smooth areas, edges and texture."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from yacs.config import CfgNode

from longtail.config import load_config

SIZES = [(150, 200), (220, 130), (90, 80), (48, 100)]


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


def write_photographs(folder: Path, number: int = 4) -> Path:
    """Write photographs of several sizes in two classes, and return their annotation file."""
    entries: list[dict[str, Any]] = []
    for index in range(number):
        name = f"{index}.jpg"
        (folder / name).write_bytes(jpeg(photograph(*SIZES[index % 4], seed=index)))
        entries.append({"image_id": 7 + index, "fpath": name, "category_id": index % 2})
    file = folder / "all.json"
    file.write_text(json.dumps({"annotations": entries, "num_classes": 2, "class_names": ["a", "b"]}))
    return file


def listed_config(annotations: Path, *pairs: Any) -> CfgNode:
    """Return a config that trains and evaluates on the images of one annotation file."""
    words = ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", annotations, "DATASET.VALID_JSON", annotations]
    return load_config(None, [*map(str, words), *pairs])
