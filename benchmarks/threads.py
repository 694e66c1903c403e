#!/usr/bin/env python3
"""Training with our default threads, with those of torch, and with one thread, while other processes are busy.

The number of threads and their wait policy must be set before torch is loaded, so each variant is a process that trains
NCL on images of CIFAR's size (3 x ResNet-32, float32) on request. The variants take turns, with and without other
processes that keep cores busy.
"""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from measuring import Row
from served import Served, answer, environment

from longtail.threads import COUNTS, WAITS

ROOT = Path(__file__).resolve().parent.parent
DECIDED_BY = (*COUNTS, *WAITS)
OURS, TORCH, ONE = "default", "torch's own default", "one thread"


class Way(Served):
    """A process that trains a few steps on request.

    Args:
        name: `OURS`, `TORCH` or `ONE`.
        images: Images of one call.
        batch: Images of a step.
    """

    def __init__(self, name: str, images: int, *, batch: int) -> None:
        self.images = images
        way = "ours" if name == OURS else "as it is"
        super().__init__([sys.executable, __file__, way, str(images), str(batch)], environment_of(name))

    def rate(self) -> float:
        """Train, and return images per second."""
        return self.images / self.ask()


def environment_of(name: str) -> dict[str, str]:
    """Return the environment of a variant."""
    kept = {key: value for key, value in environment().items() if key not in DECIDED_BY}
    return {**kept, "OMP_NUM_THREADS": "1"} if name == ONE else kept


@contextlib.contextmanager
def busy(number: int) -> Iterator[None]:
    """Context manager that keeps a number of processes computing."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(images: int = 128, batch: int = 64, *, rounds: int = 5, others: tuple[int, ...] = (0, 1, 4)) -> list[Row]:
    """Return rows that compare the default with the two other variants; see the module."""
    return [row for number in others for row in _rows(number, rounds, images=images, batch=batch)]


def _rows(number: int, rounds: int, *, images: int, batch: int) -> list[Row]:
    """Return the rows measured while a number of processes are busy, also while the variants start."""
    with busy(number), contextlib.ExitStack() as stack:
        ways = {}
        for name in (OURS, TORCH, ONE):
            ways[name] = Way(name, images, batch=batch)
            stack.callback(ways[name].close)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                rates[name].append(way.rate())
    where = f"with {number} busy processes" if number else "alone"
    rows = []
    for name in (TORCH, ONE):
        ratios = sorted(ours / other for ours, other in zip(rates[OURS], rates[name], strict=True))
        note = f"median ratio {statistics.median(ratios):.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f}"
        ours, other = (statistics.median(rates[one]) for one in (OURS, name))
        rows.append(Row(f"threads, {where}, against {name}", "images/s", ours, other, note=note))
    return rows


def serve(images: int, batch: int) -> None:
    """Train `images` images for every line of input, and reply with the seconds."""
    import torch
    from made_up_images import long_tailed_labels, smooth_images
    from training import CLASSES, build_trainer, config, our_epoch

    from longtail.threads import use_threads

    use_threads()  # as the commands do; an exported number is kept
    cfg = config("TRAIN.BATCH_SIZE", batch, "TRAIN.MAX_EPOCH", 10**6, "TRAIN.AMP", "off")
    pixels, labels = smooth_images(images, 32, 32), long_tailed_labels(images, CLASSES)
    epoch = our_epoch(build_trainer(cfg, pixels, labels, device=torch.device("cpu")))
    epoch()  # to warm up
    answer("ready")
    for _ in sys.stdin:
        start = time.perf_counter()
        epoch()
        answer(time.perf_counter() - start)


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        from longtail.threads import set_threads

        set_threads()
    serve(*map(int, sys.argv[2:]))
