"""Reading of image files into uint8 tensors."""

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
from longtail.data.images.formats import FORMATS
from longtail.data.images.jpeg import decode_jpeg
from longtail.errors import UserError, one_line
from longtail.user_files import check_regular, read_bytes

SMALL_SIDE = 64  # pixels; data sets whose images are no larger are decoded into memory
READERS = 8  # threads that read small files; they overlap the latency of slow disks and cost nothing on fast ones
FILES_PER_TASK = 256  # files that a thread reads per task


def read_image(path: str | Path, content: bytes | None = None) -> Tensor:
    """Decode one image file to RGB, (3, H, W) uint8; see `decoding`.

    The memory layout is channels-last, as decoded: copying a large image to channels-first takes half as long as
    decoding it, and PyTorch resizes channels-last images faster.

    Args:
        path: Image file.
        content: Bytes of the file, if they are already read.

    Raises:
        UserError: The file is missing, truncated, not an image of `FORMATS`, or larger than Pillow's limit.
    """
    return torch.from_numpy(read_pixels(path, content)).permute(2, 0, 1)


def read_pixels(path: str | Path, content: bytes | None = None) -> np.ndarray:
    """Decode one image file to (H, W, 3) uint8; see `read_image`."""
    with _read_errors(path, content):
        if content is None:
            check_regular(path, "image")
        with Image.open(path if content is None else io.BytesIO(content), formats=FORMATS) as image:
            return rgb_pixels(image)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return the height and width of an image file, reading only its header.

    Raises:
        UserError: The file is missing or not an image.
    """
    with _read_errors(path):
        check_regular(path, "image")
        with Image.open(path, formats=FORMATS) as image:
            return upright_size(image)


def read_images(paths: Sequence[str | Path], errors: dict[int, UserError] | None = None) -> Tensor | None:
    """Decode image files of one size into one tensor (N, 3, H, W) uint8.

    Args:
        paths: Image files, (N,); at least one must be readable.
        errors: Collects the errors of files that cannot be read, by index; their pixels are zero. None: the first
            error is raised.

    Returns:
        The images; None if their sizes differ.

    Raises:
        UserError: A file is missing, truncated or not an image, and `errors` is None; or no file can be read.
    """
    height, width = first_size(paths, skip=errors is not None)
    pixels = np.zeros((len(paths), height, width, 3), dtype=np.uint8)
    for index, content in enumerate(_prefetch(paths)):
        try:
            image = _small_pixels(paths[index], content)
        except UserError as error:
            if errors is None:
                raise
            errors[index] = error
            continue
        if image.shape[:2] != (height, width):
            return None
        pixels[index] = image
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _small_pixels(path: str | Path, content: bytes | None) -> np.ndarray:
    """Decode one image file to (H, W, 3) uint8; simplejpeg decodes small JPEG files much faster than Pillow."""
    pixels = None if content is None else decode_jpeg(content)
    return read_pixels(path, content) if pixels is None else pixels


def first_size(paths: Sequence[str | Path], *, skip: bool) -> tuple[int, int]:
    """Return the height and width of the first image.

    Args:
        paths: Image files, (N,).
        skip: Skip files that cannot be read.

    Raises:
        UserError: The first file cannot be read; with `skip`: none can.
    """
    for path in itertools.islice(paths, len(paths) - 1 if skip else 0):
        try:
            return image_size(path)
        except UserError:
            continue
    return image_size(paths[-1 if skip else 0])


def _prefetch(paths: Sequence[str | Path]) -> Iterator[bytes | None]:
    """Yield the bytes of each file, read ahead of their use; None for a file that cannot be read.

    Several threads read and only the caller decodes: decoding small images in several threads is slower because of the
    GIL.
    """

    def read(batch: Sequence[str | Path]) -> list[bytes | None]:
        return [_read_bytes(path) for path in batch]

    batches = (paths[start : start + FILES_PER_TASK] for start in range(0, len(paths), FILES_PER_TASK))
    pool = ThreadPoolExecutor(READERS)
    try:
        for contents in pool.map(read, batches):
            yield from contents
    finally:
        pool.shutdown(cancel_futures=True)


def _read_bytes(path: str | Path) -> bytes | None:
    try:
        return read_bytes(path, "image")
    except UserError:
        return None


@contextlib.contextmanager
def _read_errors(path: str | Path, content: bytes | None = None) -> Iterator[None]:
    """Turn the exceptions of opening and decoding an image into a one-line UserError."""
    try:
        yield
    except UserError:
        raise
    except PermissionError:
        raise UserError(f"image {path} cannot be read: no permission") from None
    except Image.DecompressionBombError:
        raise UserError(f"image {path} cannot be read: {_too_large(path, content)}") from None
    except UnidentifiedImageError:
        empty = content == b"" if content is not None else Path(path).stat().st_size == 0
        reason = "it is empty" if empty else f"it is not an image of a known format ({', '.join(FORMATS)})"
        raise UserError(f"image {path} cannot be read: {reason}") from None
    except Exception as error:  # decoders raise exceptions of all kinds for damaged data
        raise UserError(f"image {path} cannot be read: {one_line(error)}") from None


def _too_large(path: str | Path, content: bytes | None) -> str:
    """Describe an image that Pillow refuses to open because of its size."""
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # Pillow warns above MAX_IMAGE_PIXELS and refuses above twice as many
    allowed = f"allowed: at most {limit:,} pixels, to protect against decompression bombs"
    size = _declared_size(Path(path).read_bytes() if content is None else content)
    return f"it has {size[1]} x {size[0]} pixels; {allowed}" if size else f"it is too large; {allowed}"


def _declared_size(content: bytes) -> tuple[int, int] | None:
    """Return the width and height in the header, without Pillow's check of the number of pixels."""
    for factory, accept in (Image.OPEN[name] for name in FORMATS if name in Image.OPEN):
        if accept and accept(content[:16]) is True:
            try:
                return factory(io.BytesIO(content), "").size
            except Exception:  # not this format; readers raise various exceptions for other formats
                continue
    return None
