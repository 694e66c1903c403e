"""Functions for both formats: the size of a copy, its pixels, and threads."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from PIL import Image

from longtail.data.images.reading import read_pixels
from longtail.processors import available_processors

logger = logging.getLogger(__name__)

T = TypeVar("T")
BLOCK = 4096  # images between two progress messages


def copy_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the height and width of the copy of an image: the shorter side is at most `side` pixels."""
    scale = side / min(height, width)
    if scale >= 1:
        return height, width
    return max(round(height * scale), side), max(round(width * scale), side)


def copy_of(source: str | Path, side: int) -> Image.Image:
    """Return the copy of an image, resized with Pillow's bicubic filter.

    Raises:
        UserError: The image cannot be read.
    """
    image = Image.fromarray(read_pixels(source))
    height, width = copy_size(image.height, image.width, side)
    if (height, width) == (image.height, image.width):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def in_threads(one: Callable[[int], T], number: int, *, title: str) -> Iterator[T]:
    """Yield the results for 0, 1, ..., number - 1 in order, computed in several threads (Pillow releases the GIL)."""
    with ThreadPoolExecutor(available_processors()) as pool:
        for start in range(0, number, BLOCK):
            block: Sequence[int] = range(start, min(start + BLOCK, number))
            try:
                yield from pool.map(one, block)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            logger.info("%d of %d %s", block[-1] + 1, number, title)
