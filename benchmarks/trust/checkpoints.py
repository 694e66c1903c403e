#!/usr/bin/env python3
"""Flip one bit of a checkpoint, or truncate it, and count how often it is loaded with changed content.

python benchmarks/trust/checkpoints.py --trials 600
"""

import random
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from common import Trials, options

from longtail.checkpoint_file import checksum, read_checkpoint, save_checkpoint


def main() -> int:
    """Run the trials and print their counts."""
    chosen = options(__doc__, 600)
    draw = random.Random(chosen.seed)
    trials = Trials("damaged checkpoints")
    altered = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.pth"
        weights = {
            f"layer{k}.weight": torch.randn(40, 40, generator=torch.Generator().manual_seed(k)) for k in range(5)
        }
        content = {"model": weights, "epoch": 3, "optimizer": {"state": {0: {"step": 12, "momentum": weights}}}}
        save_checkpoint(path, content)
        whole = path.read_bytes()
        written = digest(path)
        for _ in range(chosen.trials):
            damaged = bytearray(whole)
            if draw.random() < 0.8:
                position = draw.randrange(len(damaged))
                damaged[position] ^= 1 << draw.randrange(8)
                what = f"bit of byte {position}"
            else:
                damaged = damaged[: draw.randrange(len(damaged))]
                what = f"cut at {len(damaged)}"
            path.write_bytes(damaged)
            read: list[str] = []
            trials.run(partial(append_digest, path, read), what)
            altered += bool(read) and read[0] != written
    print(f"read with another content: {altered}")
    return 1 if trials.report() or altered else 0


def digest(path: Path) -> str:
    """Read a checkpoint and return the digest of its content."""
    return checksum({key: value for key, value in read_checkpoint(path).items() if key != "version"})


def append_digest(path: Path, read: list[str]) -> None:
    """Read a checkpoint and append its digest to a list."""
    read.append(digest(path))


if __name__ == "__main__":
    sys.exit(main())
