"""Check that the listed images exist."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from longtail.errors import errors_in

THREADS = 16  # most of the time is spent waiting for a disk, often a network drive
FILES_PER_TASK = 1000


def check_images(paths: Sequence[str], source: str) -> None:
    """Check that every image file exists, in several threads.

    Args:
        paths: Image files, (N,).
        source: File that lists them, for the message.

    Raises:
        UserError: Images do not exist; the message lists the first ten of them and their number.
    """
    chunks = [paths[start : start + FILES_PER_TASK] for start in range(0, len(paths), FILES_PER_TASK)]
    missing: list[str] = []
    with ThreadPoolExecutor(THREADS) as pool, tqdm(total=len(paths), desc=source, disable=None, leave=False) as bar:
        for chunk, absent in zip(chunks, pool.map(_missing, chunks), strict=True):
            missing += absent
            bar.update(len(chunk))
    if missing:
        errors = [f"image {path} does not exist" for path in missing]
        raise errors_in(source, errors, kind=f"of {len(paths):,} images do not exist (--no-check skips this check)")


def _missing(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not os.path.isfile(path)]
