#!/usr/bin/env python3
"""Run trainings with too little disk, file handles or shared memory, and check how they end and resume.

    python benchmarks/trust/disk.py --sizes 33

A full disk is a tmpfs of --sizes sizes (which only root can mount), or a limit of the file size (RLIMIT_FSIZE). Every
training must end with exit code 2 and one line, or finish; after space is freed, the same command must end with the
results of an uninterrupted training. Shared memory of 64 KB and 1 MB needs a mount namespace.
"""

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from command_lines import make_images
from commands import write_splits
from forked import STARTING, Child, one_line, outcome, warm_up
from small import FIRST_CONFIG, no_figures

SETTINGS = ("TRAIN.MAX_EPOCH", 4, "TRAIN.CHECKPOINT_MINUTES", 0, "NAME", "trial", "TRAIN.LOADER_TIMEOUT", 0.5)
PARTS = ("full", "limits", "lost", "handles", "memory")
CLONE_NEWNS = 0x00020000
LARGEST = 180  # KB, with which the training just fits


def main(arguments: list[str] | None = None) -> int:
    """Run all parts and print their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, default=33, metavar="N", help="sizes of the full disk; default: 33")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="default: all")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, no_figures():
        folder = Path(name)
        (folder / "config.yaml").write_text(FIRST_CONFIG)
        make_images(folder / "imgs", side=96)  # larger ones than those that are kept in memory
        write_splits(folder)
        warm_up(words(folder, folder / "warm"))
        Child(words(folder, folder / "whole"), folder / "log").wait(STARTING)
        expected = outcome(folder / "whole" / "trial")
        sizes = [4 + round((LARGEST - 4) * number / max(1, chosen.sizes - 1)) for number in range(chosen.sizes)]
        parts: dict[str, Callable[[], int]] = {
            "full": lambda: full_disks(folder, sizes, expected),
            "limits": lambda: file_limits(folder, sizes, expected),
            "lost": lambda: lost_folders(folder),
            "handles": lambda: few_handles(folder),
            "memory": lambda: little_shared_memory(folder),
        }
        faults = sum(measure() for name, measure in parts.items() if name in chosen.parts)
    return 1 if faults else 0


def words(folder: Path, output: Path, *settings: Any) -> list[Any]:
    """Return the command line of a training on Digits-LT."""
    return [folder / "config.yaml", "--gpus", "cpu", *SETTINGS, "OUTPUT_DIR", output, *settings]


def worker_words(folder: Path, output: Path) -> list[Any]:
    """Return the command line of a training on image files with two worker processes."""
    files = ["DATASET.TRAIN_JSON", folder / "train.json", "DATASET.VALID_JSON", folder / "valid.json"]
    views = ["DATASET.VIEWS", "[transforms]", "DATASET.TEST_VIEW", "transforms", "INPUT_SIZE", "(448,448)"]
    workers = [
        "TRAIN.NUM_WORKERS",
        2,
        "TEST.NUM_WORKERS",
        2,
        "TRAIN.BATCH_SIZE",
        4,
        "DATASET.NORMALIZATION",
        "imagenet",
    ]
    return words(folder, output, "DATASET.DATASET", "annotations", *files, *views, *workers)


class Part:
    """Counts of how the trainings of a part end.

    Args:
        name: The limited resource.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.refused = self.finished = self.resumed = 0
        self.faults: list[str] = []

    def end(self, child: Child, what: str, *, limit: float = STARTING) -> None:
        """Wait for a training, which must finish or end with exit code 2 and one line."""
        code, printed = child.wait(limit), child.printed()
        if code == 0:
            self.finished += 1
        elif code == 2 and one_line(printed):
            self.refused += 1
        else:
            self.faults.append(f"{what}: exit code {code}: ...{printed[-300:]!r}")

    def same(self, output: Path, expected: Any, what: str) -> None:
        """Compare the results of the same command after space was freed."""
        ended = outcome(output)
        if ended and expected and {**ended, "runs": 1} == {**expected, "runs": 1}:
            self.resumed += 1
        else:
            self.faults.append(f"{what}: {'other results' if ended else 'did not finish'} after space was freed")

    def report(self, note: str = "") -> int:
        """Print the counts and return the number of faults."""
        counts = f"{self.refused} ended in one line, {self.finished} finished, {self.resumed} resumed correctly"
        print(f"{self.name}: {counts}, {len(self.faults)} faults{note}")
        for fault in self.faults[:8]:
            print(f"  {fault}")
        return len(self.faults)


def full_disks(folder: Path, sizes: list[int], expected: Any) -> int:
    """Train on full disks, then with enough space."""
    disk, part = folder / "disk", Part(f"full disk of {len(sizes)} sizes (tmpfs)")
    disk.mkdir()
    for size in sizes:
        if not mount("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)):
            return part.report(": not run, mounting needs root")
        try:
            log = folder / f"full{size}.log"
            part.end(Child(words(folder, disk), log), f"{size} KB")
            mount("-o", "remount,size=100m", str(disk))
            Child(words(folder, disk), folder / "again.log").wait(STARTING)
            part.same(disk / "trial", expected, f"{size} KB")
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=False)
    return part.report()


def file_limits(folder: Path, sizes: list[int], expected: Any) -> int:
    """Train with a limit of the file size, then without."""
    part = Part("limits of the size of files (RLIMIT_FSIZE)")
    for size in sizes[:: max(1, len(sizes) // 8)]:
        output = folder / f"limit{size}"
        limit = limiting(resource.RLIMIT_FSIZE, size * 256)  # a quarter: no single file is as large as all
        part.end(Child(words(folder, output), folder / f"limit{size}.log", before=limit), f"{size // 4} KB")
        Child(words(folder, output), folder / "again.log").wait(STARTING)
        part.same(output / "trial", expected, f"{size // 4} KB")
    return part.report()


def lost_folders(folder: Path) -> int:
    """Train in a folder that is removed during the training, and in one that is not writable."""
    part = Part("folders that vanish or cannot be written")
    for name in ("trial", "models"):
        output = folder / f"lost_{name}"
        child = Child(words(folder, output, "TRAIN.MAX_EPOCH", 3000), folder / f"lost_{name}.log")
        wait_for(output, "trial/*/models/last.pth", child)
        for path in output.glob("trial" if name == "trial" else "trial/*/models"):
            path.rename(folder / f"gone_{name}")
        part.end(child, f"{name} removed")
    (folder / "file").write_text("")
    for output in (Path("/proc/nothing"), folder / "file", Path("/dev/null")):
        part.end(Child(words(folder, output), folder / f"{output.name}.log"), str(output))
    disk = folder / "read_only"
    disk.mkdir()
    if mount("-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)):
        part.end(Child(words(folder, disk), folder / "read_only.log"), "read-only")
        subprocess.run(["umount", "-l", str(disk)], check=False)
    return part.report()


def few_handles(folder: Path) -> int:
    """Train with few file handles, with and without workers."""
    part = Part("40, 28, 20 and 12 file handles with workers")
    for number in (40, 28, 20, 12):
        output = folder / f"handles{number}"
        limit = limiting(resource.RLIMIT_NOFILE, number)
        part.end(
            Child(worker_words(folder, output), folder / f"handles{number}.log", before=limit), f"{number} handles"
        )
    return part.report()


def little_shared_memory(folder: Path) -> int:
    """Train with workers and little shared memory."""
    part = Part("shared memory of 64 KB and 1 MB with workers")
    for size in ("64k", "1m"):
        log = folder / f"shm{size}.log"
        child = Child(worker_words(folder, folder / f"shm{size}"), log, before=partial(shrink_memory, size))
        part.end(child, f"{size} of shared memory")
        if "no mount namespace" in child.printed():
            return part.report(": not run, a mount namespace needs root")
    return part.report()


def limiting(kind: int, value: int) -> Callable[[], None]:
    """Return a function that sets a limit of the process."""
    return lambda: resource.setrlimit(kind, (value, value))


def shrink_memory(size: str) -> None:
    """Give this process a separate, small /dev/shm."""
    if ctypes.CDLL(None).unshare(CLONE_NEWNS) or not mount("--make-rprivate", "/"):
        sys.exit("no mount namespace")
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", "/dev/shm")


def mount(*arguments: str) -> bool:
    """Mount; return whether that was possible."""
    return os.geteuid() == 0 and subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def wait_for(folder: Path, pattern: str, child: Child) -> None:
    """Wait until a training has written a file, or ended."""
    end = time.monotonic() + STARTING
    while time.monotonic() < end and not child.ended() and not any(folder.glob(pattern)):
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
