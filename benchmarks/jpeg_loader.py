"""Reading JPEG files of 500 x 375 and augmenting them to 224 x 224 (policy `randaugment`), on one core.

Both read, augment and collate uint8 batches in the measuring process, as a worker process would; the baseline is the
pipeline of `pillow_augmentation.py`.
"""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from measuring import Row, in_turns, threads
from pictures import write_jpegs
from reference import LargeImages
from torch.utils.data import DataLoader

from longtail.config import load_config
from longtail.data.augment import build_policy
from longtail.data.image_files import ImageFiles
from longtail.data.loaders import SINGLE, FileLoader
from longtail.data.samplers import InstanceBalanced


def measure(files: int = 64, rounds: int = 7, height: int = 375, width: int = 500, size: int = 224) -> list[Row]:
    """Return the row; see the module."""
    with tempfile.TemporaryDirectory() as folder, threads(1):
        paths = [str(path) for path in write_jpegs(Path(folder), files, height, width)]
        policy = build_policy("randaugment", load_config(None, ["INPUT_SIZE", [size, size]]))
        loader = FileLoader(
            ImageFiles(paths),
            [policy],
            seed=0,
            workers=0,
            sampler=InstanceBalanced(files, 0),
            labels=torch.zeros(files, dtype=torch.int64),
            batch_size=min(files, 32),
            drop_last=False,
            shard=SINGLE,
        )
        baseline = DataLoader(LargeImages(paths, size), min(files, 32), shuffle=True)

        def all_of(batches: Iterable[object]) -> None:
            for _ in batches:
                pass

        times = in_turns(
            {"ours": lambda: all_of(loader.epoch(1)), "baseline": lambda: all_of(baseline)},
            rounds,
            clock=time.process_time,
        )
    return [
        Row(
            f"JPEG {width} x {height} to {size}, RandAugment, 1 core",
            "images/s",
            files / times["ours"].median,
            files / times["baseline"].median,
            note=f"{files} files, median of {rounds} rounds, processor time, everything in one process",
        )
    ]
