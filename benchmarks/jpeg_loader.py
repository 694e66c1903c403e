"""Reading JPEG files of 500 x 375 and augmenting them to 224 x 224 (policy `randaugment`), on one core.

Ours reads, augments and collates uint8 batches in the measuring process, as a worker process would. The baseline is the
pipeline of `pillow_augmentation.py`, once to uint8 as well, and once to normalized float32, as it was released: ours
normalizes on the device.
"""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from made_up_images import write_jpegs
from measuring import Row, interleaved, threads
from reference import LargeImages
from torch.utils.data import DataLoader

from longtail.config import load_config
from longtail.data.augment import build_policy
from longtail.data.images.files import ImageFiles
from longtail.data.loaders import FileLoader, LoaderSettings
from longtail.data.samplers import InstanceBalanced


def measure(files: int = 256, *, rounds: int = 5, height: int = 375, width: int = 500, size: int = 224) -> list[Row]:
    """Return a row for each baseline; see the module."""
    with tempfile.TemporaryDirectory() as folder, threads(1):
        paths = [str(path) for path in write_jpegs(Path(folder), files, height=height, width=width)]
        policy = build_policy("randaugment", load_config(None, ["INPUT_SIZE", [size, size]]))
        loader = FileLoader(
            ImageFiles(paths),
            [policy],
            settings=LoaderSettings(
                sampler=InstanceBalanced(files, 0),
                labels=torch.zeros(files, dtype=torch.int64),
                batch_size=min(files, 32),
                seed=0,
            ),
            workers=0,
        )
        pipelines = {
            name: DataLoader(LargeImages(paths, size, normalized=normalized), min(files, 32), shuffle=True)
            for name, normalized in (("uint8", False), ("float32", True))
        }

        def all_of(batches: Iterable[object]) -> None:
            for _ in batches:
                pass

        times = interleaved(
            {
                "ours": lambda: all_of(loader.epoch(1)),
                "uint8": lambda: all_of(pipelines["uint8"]),
                "float32": lambda: all_of(pipelines["float32"]),
            },
            rounds,
            clock=time.process_time,
        )
    return [
        Row(
            f"JPEG {width} x {height} to {size}, RandAugment, {name}, 1 core",
            "images/s",
            files / times["ours"].median,
            files / times[name].median,
            note=f"{files} files, median of {rounds} rounds, processor time, everything in one process; ours to uint8, "
            f"baseline to {name}",
        )
        for name in pipelines
    ]
