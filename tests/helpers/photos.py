"""A finished run on small image files with class names, and its images."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from yacs.config import CfgNode

from longtail.config import load_config
from longtail.runs.directory import RunDirectory
from tests.helpers.training import train

NAMES = ["Avion à réaction", "猫", "truck #1"]
COUNTS = [30, 12, 6]
VALID = 7  # images per class
COLORS = ((200, 60, 60), (60, 200, 60), (60, 60, 200))


class Photos(NamedTuple):
    """The run, and its folder with train.json, valid.json and images/."""

    run: RunDirectory
    folder: Path
    cfg: CfgNode

    def valid_paths(self) -> list[str]:
        """Return the validation images in the order of valid.json."""
        entries = json.loads((self.folder / "valid.json").read_text())["annotations"]
        return [str(self.folder / entry["fpath"]) for entry in entries]


def write_photos(folder: Path) -> None:
    """Write noisy images of one color per class, 32x32 PNG, and their annotation files."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    for split, counts in {"train": COUNTS, "valid": [VALID] * 3}.items():
        entries = []
        for label, count in enumerate(counts):
            for number in range(count):
                noise = random.normal(0, 60, (32, 32, 3))
                pixels = np.clip(np.array(COLORS[label]) * 0.4 + 80 + noise, 0, 255).astype(np.uint8)
                name = f"images/{split}_{label}_{number}.png"
                Image.fromarray(pixels).save(folder / name)
                entries.append({"fpath": name, "category_id": label})
        content = {"annotations": entries, "num_classes": 3, "classes": NAMES}
        (folder / f"{split}.json").write_text(json.dumps(content))


def photo_config(folder: Path, *overrides: Any) -> CfgNode:
    """Return the config of two tiny experts on the photos of a folder."""
    settings = [
        *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", str(folder / "train.json")),
        *("DATASET.VALID_JSON", str(folder / "valid.json"), "DATASET.VIEWS", ["crop"], "NAME", "photos"),
        *("BACKBONE.MULTI_NETWORK_TYPE", ["tiny", "tiny"], "LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 2),
        *("OUTPUT_DIR", str(folder / "output"), "TRAIN.BATCH_SIZE", 16, "TRAIN.MAX_EPOCH", 2, "VALID_STEP", 1),
        *("TRAIN.OPTIMIZER.BASE_LR", 0.02, "TEST.BATCH_SIZE", 4, "TEST.NUM_WORKERS", 0, "TRAIN.NUM_WORKERS", 0),
        *("TRAIN.TENSORBOARD.ENABLE", False, "DATASET.NORMALIZATION", "cifar"),
    ]
    return load_config(None, [*settings, *overrides])


def train_photos(folder: Path, *overrides: Any) -> Photos:
    """Write the photos and train on them."""
    write_photos(folder)
    cfg = photo_config(folder, *overrides)
    return Photos(train(cfg), folder, cfg)
