"""Reading JPEG files and augmenting them to 224 x 224 (policy `randaugment`), on one core.

Four pipelines read the same files in the measuring process, as a worker process would: DATASET.LOADER fast and pillow,
which return uint8 batches, since images are normalized on the device; that of `pillow_augmentation.py`, also to uint8;
and the released one, with OpenCV, torchvision and Pillow to normalized float32. Without a folder, the files are
synthetic images of 500 x 375.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from made_up_images import write_jpegs
from measuring import Measured, Row, interleaved, threads
from reference import LargeImages, ReleasedLargeImages
from torch.utils.data import DataLoader

from longtail.config import load_config
from longtail.data.augment import build_policy, fast_policy
from longtail.data.images.files import ImageFiles
from longtail.data.loaders import FileLoader, LoaderSettings
from longtail.data.samplers import InstanceBalanced


def measure(folder: str = "", files: int = 256, *, rounds: int = 5, size: int = 224) -> list[Row]:
    """Return a row for each loader and baseline; see the module.

    Args:
        folder: Folder of JPEG files; empty: generate some.
        files: Number of files to generate.
        rounds: Number of rounds.
        size: Side of the result in pixels.
    """
    with tempfile.TemporaryDirectory() as temporary, threads(1):
        found = sorted(Path(folder).rglob("*.jp*g")) if folder else write_jpegs(Path(temporary), files)
        paths = [str(path) for path in found]
        contestants = {
            "fast": our_epoch(ImageFiles(paths, fast=True), size),
            "pillow": our_epoch(ImageFiles(paths), size),
            "Pillow to uint8": baseline_epoch(LargeImages(paths, size)),
            "the released way": baseline_epoch(ReleasedLargeImages(paths, size)),
        }
        times = interleaved(contestants, rounds, clock=time.process_time)
    where = folder or "synthetic images of 500 x 375"
    return [
        _row(times, ours, baseline, number=len(paths), where=where)
        for ours in ("fast", "pillow")
        for baseline in ("Pillow to uint8", "the released way")
    ]


def our_epoch(files: ImageFiles, size: int) -> Callable[[], None]:
    """Return a function that loads all files once, with DATASET.LOADER fast or pillow."""
    policy = build_policy("randaugment", load_config(None, ["INPUT_SIZE", [size, size]]))
    settings = LoaderSettings(
        sampler=InstanceBalanced(len(files), 0),
        labels=torch.zeros(len(files), dtype=torch.int64),
        batch_size=min(len(files), 32),
        seed=0,
    )
    policies = [fast_policy(policy) if files.fast else policy]
    loader = FileLoader(files, policies, settings=settings, workers=0)
    return lambda: _all_of(loader.epoch(1))


def baseline_epoch(images: LargeImages | ReleasedLargeImages) -> Callable[[], None]:
    """Return a function that loads all images of a baseline once."""
    loader = DataLoader(images, min(len(images), 32), shuffle=True)
    return lambda: _all_of(loader)


def _all_of(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


def _row(times: dict[str, Measured], ours: str, baseline: str, *, number: int, where: str) -> Row:
    pairs = zip(times[ours].seconds, times[baseline].seconds, strict=True)
    ratios = sorted(slow / quick for quick, slow in pairs)
    return Row(
        f"JPEG to 224, RandAugment, {ours}, against {baseline}, 1 core",
        "images/s",
        number / times[ours].median,
        number / times[baseline].median,
        note=f"{number} files, {where}; CPU time of one process; ratio of each round: median "
        f"{statistics.median(ratios):.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f}",
    )
