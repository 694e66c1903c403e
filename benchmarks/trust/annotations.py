#!/usr/bin/env python3
"""Damage annotation files, COCO-style files and lists, and count tracebacks and hangs.

python benchmarks/trust/annotations.py --trials 1700
"""

import json
import random
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from common import Trials, options

from longtail.config import load_config
from longtail.data import build_splits
from longtail.data.convert.inat import read_coco
from longtail.data.convert.own_lists import read_own_lists
from longtail.data.inspect.verify import verify

ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1e9, 10**9, 10**30, 1.5, float("nan"), "", "x", "\ud800", "a\0b", "x" * 300, [], [1], {}),
    *({"a": 1}, "/dev/zero", "/", ".", "1" * 5000),
)


def main() -> int:
    """Run the trials and print their counts."""
    chosen = options(__doc__, 1700)
    draw = random.Random(chosen.seed)
    trials = Trials("annotation files and lists")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(chosen.trials):
            kind = draw.choice(("annotations", "verify", "coco", "list"))
            text = {"coco": coco, "list": lines}.get(kind, annotations)(draw)
            if draw.random() < 0.4:
                position = draw.randrange(len(text))
                text = (
                    text[:position] + draw.choice(("[", "\0", "9" * 5000, "[" * 3000, "\u2028", "")) + text[position:]
                )
            if draw.random() < 0.1:
                text = text[: draw.randrange(len(text))]
            path = folder / ("a.csv" if kind == "list" and draw.random() < 0.5 else "a.json")
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            trials.run(partial(read, kind, path), f"{kind}: {text}")
    return 1 if trials.report() else 0


def read(kind: str, path: Path) -> None:
    """Read a file as training, the verifier or a converter does."""
    if kind == "coco":
        read_coco(path, "images")
    elif kind == "list":
        read_own_lists({"train": path}, image_path="images")
    elif kind == "verify":
        verify([str(path)])
    else:
        keys = ["DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(path), "DATASET.VALID_JSON", str(path)]
        build_splits(load_config(None, keys)).train.fingerprint()


def odd(draw: random.Random, value: Any) -> Any:
    """Return a value, or now and then an odd one instead."""
    return draw.choice(ODD) if draw.random() < 0.15 else value


def annotations(draw: random.Random) -> str:
    """Return an annotation file."""
    entries = [
        odd(draw, {"fpath": odd(draw, "a.png"), "category_id": odd(draw, k % 2), "im_height": odd(draw, 3)})
        for k in range(4)
    ]
    return json.dumps(
        {"annotations": odd(draw, entries), "num_classes": odd(draw, 2), "classes": odd(draw, ["a", "b"])}
    )


def coco(draw: random.Random) -> str:
    """Return a COCO-style file."""
    images = [
        odd(draw, {"id": odd(draw, k), "file_name": odd(draw, "a.png"), "height": odd(draw, 3)}) for k in range(3)
    ]
    labels = [odd(draw, {"image_id": odd(draw, k), "category_id": odd(draw, k % 2)}) for k in range(3)]
    categories = [odd(draw, {"id": odd(draw, k), "name": odd(draw, "c")}) for k in range(2)]
    return json.dumps(
        {"images": odd(draw, images), "annotations": odd(draw, labels), "categories": odd(draw, categories)}
    )


def lines(draw: random.Random) -> str:
    """Return a list of images."""
    rows = [f"{odd(draw, 'a')}{k}.png,{odd(draw, k % 2)},{odd(draw, 'train')}" for k in range(4)]
    header = "path,label,split\n" if draw.random() < 0.7 else ""
    return header + "\n".join(row.replace(",", draw.choice((",", " ", "\t"))) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
