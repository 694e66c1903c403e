"""Whether the images that a list names are there."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from longtail.errors import faults_in

THREADS = 16  # most of the time goes to waiting for a disk, often one of another machine
CHUNK = 1000  # files per task


def check_images(paths: Sequence[str], what: str) -> None:
    """Look for every image file, many at a time.

    Args:
        paths: the files, (N,).
        what: where they are listed, for the message.

    Raises:
        UserError: some are not there; names the first ten and how many there are.
    """
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    missing: list[str] = []
    with ThreadPoolExecutor(THREADS) as pool, tqdm(total=len(paths), desc=what, disable=None, leave=False) as bar:
        for chunk, absent in zip(chunks, pool.map(_absent, chunks), strict=True):
            missing += absent
            bar.update(len(chunk))
    if missing:
        faults = [f"image {path} does not exist" for path in missing]
        raise faults_in(what, faults, f"of {len(paths):,} images do not exist (--no-check skips this search)")


def _absent(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not os.path.isfile(path)]
