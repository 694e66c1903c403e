"""From image files to uint8 tensors."""

import contextlib
import io
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from longtail.data.images.decoding import rgb_pixels, upright_size
from longtail.errors import UserError

SMALL_SIDE = 64  # pixels; sets whose images are no larger live in memory
READERS = 8  # threads that read small files: they wait for slow disks together, and cost nothing with fast ones
PER_TASK = 256  # files that a thread takes at once


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
    with _faults_told(path, content), Image.open(path if content is None else io.BytesIO(content)) as image:
        return rgb_pixels(image)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return height and width of an image file, reading its header only.

    Raises:
        UserError: the file is missing or no image.
    """
    with _faults_told(path), Image.open(path) as image:
        return upright_size(image)


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
    for position, content in enumerate(_contents(paths)):
        try:
            image = read_pixels(paths[position], content)
        except UserError as error:
            if unreadable is None:
                raise
            unreadable[position] = error
            continue
        if image.shape[:2] != (height, width):
            return None
        pixels[position] = image
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _contents(paths: Sequence[str | Path]) -> Iterator[bytes | None]:
    """Yield the bytes of each file, None for one that cannot be read, ahead of their use.

    Threads read, and one decodes: small images decoded by several take longer, for want of Python's lock.
    """

    def read(some: Sequence[str | Path]) -> list[bytes | None]:
        return [_content(path) for path in some]

    pool = ThreadPoolExecutor(READERS)
    try:
        for contents in pool.map(read, (paths[first : first + PER_TASK] for first in range(0, len(paths), PER_TASK))):
            yield from contents
    finally:
        pool.shutdown(cancel_futures=True)


def _content(path: str | Path) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError):
        return None


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


@contextlib.contextmanager
def _faults_told(path: str | Path, content: bytes | None = None) -> Iterator[None]:
    """Within the block, tell in one line what prevents opening or decoding an image."""
    try:
        yield
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
