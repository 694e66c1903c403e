"""Reading drawn figures."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread

Image = np.ndarray[Any, Any]


def read_picture(path: Path) -> Image:
    """Return a PNG file as (height, width, 3), and check that it is complete and the only file in its folder."""
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert os.listdir(path.parent) == [path.name]
    image: Image = imread(path)[..., :3]
    assert min(image.shape[:2]) >= 400 and max(image.shape[:2]) <= 3000
    # Nothing is cut off at the edge: the outermost pixels are white.
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert border.min() > 0.99
    return image


def of_color(image: Image, color: str) -> Image:
    """Return which pixels have a color."""
    close: Image = np.abs(image - np.array(to_rgb(color))).max(-1) < 0.02
    return close


def fraction_of(image: Image, color: str) -> float:
    """Return the fraction of pixels of a color."""
    return float(of_color(image, color).mean())
