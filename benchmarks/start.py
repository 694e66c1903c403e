"""From the command to the first step of a training on files of CIFAR-10-LT's number and size, on a CPU.

A process is started as a user starts it, on JPEG files made for it (12,406 training and 10,000 validation images),
until it reports its first step.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_up_images import long_tailed_labels, smooth_images
from measuring import Row
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, str(ROOT / "main" / "train.py"), "--gpus", "cpu", "--resume", "never"]


def write_split(folder: Path, name: str, count: int) -> Path:
    """Write JPEG files of 32 x 32 and the annotation file that lists them."""
    (folder / name).mkdir()
    labels = long_tailed_labels(count).tolist()
    entries = []
    for number, (image, label) in enumerate(zip(smooth_images(count, 32, 32), labels, strict=True)):
        path = folder / name / f"{number}.jpg"
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(path)
        entries.append({"fpath": str(path), "category_id": label})
    annotations = folder / f"{name}.json"
    annotations.write_text(json.dumps({"annotations": entries, "num_classes": 10}))
    return annotations


def seconds_to_first_step(config: str, *overrides: str) -> float:
    """Start a training and return the seconds until it reports its first step; the training ends there.

    Raises:
        RuntimeError: It ended before.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "lib")}
    command = [*COMMAND, "--cfg", config, "SHOW_STEP", "1", *overrides]
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if "batch 1/" in line:
                    return time.perf_counter() - start
        finally:
            process.kill()
    raise RuntimeError(f"the training took no step: {' '.join(lines[-3:])}")


def seconds_to_import_torch() -> float:
    """Return the seconds that Python takes to start and to import PyTorch."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - start


def measure(
    config: str = "cifar10_im100_json,ncl", train: int = 12_406, *, valid: int = 10_000, rounds: int = 5
) -> list[Row]:
    """Return the row; see the module."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        files = [
            *("DATASET.TRAIN_JSON", str(write_split(folder, "train", train))),
            *("DATASET.VALID_JSON", str(write_split(folder, "valid", valid))),
            *("OUTPUT_DIR", str(folder / "output")),
        ]
        seconds, alone = [], []
        for _ in range(rounds):
            seconds.append(seconds_to_first_step(config, *files))
            alone.append(seconds_to_import_torch())
    return [
        Row(
            "start: command to first step",
            "s",
            statistics.median(seconds),
            higher_is_better=False,
            note=f"{config}, median of {rounds} starts; loading PyTorch alone takes {statistics.median(alone):.2f} s",
        )
    ]
