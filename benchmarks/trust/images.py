#!/usr/bin/env python3
"""Damage image files of every format, give other files the names of images, and count tracebacks and hangs.

python benchmarks/trust/images.py --trials 18000
"""

import random
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import Trials, options
from PIL import Image

from longtail.data.images.formats import FORMATS
from longtail.data.images.reading import image_size, read_image

OTHERS = ("EPS", "ICO", "TGA", "DDS", "PCX", "SGI", "IM", "JPEG2000", "MSP", "SPIDER")


def main() -> int:
    """Run the trials and print their counts."""
    chosen = options(__doc__, 18_000)
    draw = random.Random(chosen.seed)
    trials = Trials("damaged images")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg"
        contents = made(Path(folder))
        for _ in range(chosen.trials):
            content = bytearray(draw.choice(contents))
            for _ in range(draw.choice((0, 1, 1, 2, 5, 20))):
                content[min(int(draw.expovariate(1 / 60)), len(content) - 1)] = draw.randrange(256)
            if draw.random() < 0.3:
                content = content[: draw.randrange(len(content))]
            path.write_bytes(content)
            trials.run(lambda: (image_size(path), read_image(path)), content[:40].hex())
    return 1 if trials.report() else 0


def made(folder: Path) -> list[bytes]:
    """Return files of all formats, supported and others."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    files = []
    for name in (*FORMATS, *OTHERS):
        for mode in ("RGB", "L", "P", "F"):
            try:
                Image.fromarray(pixels).convert(mode).save(folder / "x", name)
            except (OSError, ValueError, KeyError):  # Pillow cannot write this kind
                continue
            files.append((folder / "x").read_bytes())
    return files


if __name__ == "__main__":
    sys.exit(main())
