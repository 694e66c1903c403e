"""Time from the command to the first step of a training, to the error for a mistyped key, and to the help, on a CPU.

A process is started as a user starts it: on JPEG files of CIFAR-10-LT's number and size (12,406 training and 10,000
validation images) and on Digits-LT, until it reports its first step; with a key that does not exist; with --help. The
notes contain the CPU time, which depends less on other programs.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from made_up_images import long_tailed_labels, smooth_images
from measuring import Row
from PIL import Image
from served import environment

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {  # name -> exit code, and what Python is started with
    "loading PyTorch alone": (0, ["-c", "import torch"]),
    "error for a mistyped key": (2, ["-m", "longtail", "train", "digits_lt,ce", "TRAIN.MAX_EPOCHS", "3"]),
    "--help": (0, ["-m", "longtail", "train", "--help"]),
}
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
        RuntimeError: The training ended before its first step.
    """
    command = [*COMMAND, "--cfg", config, "SHOW_STEP", "1", *overrides]
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
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


def seconds_of(*words: str, code: int = 0) -> tuple[float, float]:
    """Run Python with these arguments, and return the seconds and the CPU time that it took.

    Raises:
        RuntimeError: The process ended with another exit code.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *words], env=environment(), capture_output=True, check=False)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.decode()[-200:]}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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
        seconds, digits = [], []
        short: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
        for _ in range(rounds):
            seconds.append(seconds_to_first_step(config, *files))
            digits.append(seconds_to_first_step("digits_lt,ce", "OUTPUT_DIR", str(folder / "output")))
            for name, (code, words) in COMMANDS.items():
                short[name].append(seconds_of(*words, code=code))
    rows = [
        _row(f"{config}, command to first step", seconds, f"median of {rounds} starts"),
        _row("digits_lt,ce, command to first step", digits, f"median of {rounds} starts"),
    ]
    for name, times in short.items():
        spent = statistics.median(processor for _, processor in times)
        rows.append(_row(name, [wall for wall, _ in times], f"{spent:.2f} s of a processor"))
    return rows


def _row(name: str, seconds: Sequence[float], note: str) -> Row:
    return Row(f"start: {name}", "s", statistics.median(seconds), higher_is_better=False, note=note)
