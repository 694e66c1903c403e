"""From image files to uint8 tensors."""

import io
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from longtail.data.decoding import rgb_pixels, upright_size
from longtail.errors import UserError

SMALL_SIDE = 64  # pixels; sets whose images are no larger live in memory
READERS = 8  # threads that read small files: they wait for slow disks together, and cost nothing with fast ones
PER_TASK = 256  # files that a thread takes at once

T = TypeVar("T")


def read_image(path: str | Path, content: bytes | None = None) -> Tensor:
    """Decode one image file: RGB, (3, H, W) uint8, by the rules of `decoding`.

    The three values of a pixel lie side by side in memory, as they were decoded: copying a large image into planes
    takes half as long as decoding it, and PyTorch resizes it faster as it is.

    Args:
        path: the file.
        content: its bytes, where they have been read already.

    Raises:
        UserError: the file is missing, truncated, no image, or larger than Pillow's limit.
    """
    return torch.from_numpy(read_pixels(path, content)).permute(2, 0, 1)


def read_pixels(path: str | Path, content: bytes | None = None) -> np.ndarray:
    """Decode one image file to (H, W, 3) uint8; see `read_image`."""
    return _opened(path, content, rgb_pixels)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return height and width of an image file, reading its header only.

    Raises:
        UserError: the file is missing or no image.
    """
    return _opened(path, None, upright_size)


def read_images(paths: Sequence[str | Path], unreadable: dict[int, UserError] | None = None) -> Tensor | None:
    """Decode files of one size into one tensor (N, 3, H, W) uint8; None where the sizes differ.

    Args:
        paths: the files, at least one of which is sound.
        unreadable: takes in position -> fault of the files that cannot be read, whose pixels are then zero; None: the
            first fault is raised.

    Raises:
        UserError: a file is missing, truncated or no image, and `unreadable` is None; or none is sound.
    """
    height, width = first_size(paths, skip=unreadable is not None)
    pixels = np.zeros((len(paths), height, width, 3), dtype=np.uint8)

    def read(positions: range) -> tuple[bool, dict[int, UserError]]:
        faults: dict[int, UserError] = {}
        for position in positions:
            try:
                image = read_pixels(paths[position])
            except UserError as error:
                faults[position] = error
                if unreadable is None:
                    break
                continue
            if image.shape[:2] != (height, width):
                return False, faults
            pixels[position] = image
        return True, faults

    tasks = [range(first, min(first + PER_TASK, len(paths))) for first in range(0, len(paths), PER_TASK)]
    pool = ThreadPoolExecutor(READERS)
    try:
        for equal, faults in pool.map(read, tasks):
            if faults and unreadable is None:
                raise next(iter(faults.values()))
            if not equal:
                return None
            if unreadable is not None:
                unreadable.update(faults)
    finally:
        pool.shutdown(cancel_futures=True)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def first_size(paths: Sequence[str | Path], skip: bool) -> tuple[int, int]:
    """Return height and width of the first image; with `skip`, of the first that has them.

    Raises:
        UserError: it cannot be read; with `skip`: none can.
    """
    for path in itertools.islice(paths, len(paths) - 1 if skip else 0):
        try:
            return image_size(path)
        except UserError:
            continue
    return image_size(paths[-1 if skip else 0])


def _opened(path: str | Path, content: bytes | None, read: Callable[[Image.Image], T]) -> T:
    """Open an image, and tell in one line what prevents it."""
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            return read(image)
    except FileNotFoundError:
        raise UserError(f"image {path} does not exist") from None
    except IsADirectoryError:
        raise UserError(f"image {path} cannot be read: it is a folder") from None
    except PermissionError:
        raise UserError(f"image {path} cannot be read: no permission") from None
    except Image.DecompressionBombError:
        raise UserError(f"image {path} cannot be read: {_too_large(path, content)}") from None
    except UnidentifiedImageError:
        empty = content == b"" if content is not None else Path(path).stat().st_size == 0
        what = "it is empty" if empty else "it is no image file of a known format"
        raise UserError(f"image {path} cannot be read: {what}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"image {path} cannot be read: {_one_line(error)}") from None


def _too_large(path: str | Path, content: bytes | None) -> str:
    """Say how large an image is that Pillow refuses to open for its size."""
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # Pillow warns beyond MAX_IMAGE_PIXELS and refuses beyond twice as many
    allowed = f"allowed: at most {limit:,} pixels, against files that fill the memory"
    size = _declared_size(Path(path).read_bytes() if content is None else content)
    return f"it has {size[1]} x {size[0]} pixels; {allowed}" if size else f"it is too large; {allowed}"


def _declared_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height as the header has them, without Pillow's check of their product."""
    for factory, accept in (Image.OPEN[name] for name in Image.ID):
        if accept and accept(content[:16]) is True:
            try:
                return factory(io.BytesIO(content), "").size
            except Exception:  # another format was meant; its reader raises what it likes
                continue
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
