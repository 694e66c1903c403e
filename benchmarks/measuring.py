"""Common parts of the benchmarks: interleaved rounds, memory, the matmul rate of the machine, the table of rows."""

import argparse
import contextlib
import ctypes
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import __version__ as pillow_version

CPU = torch.device("cpu")
QUIET = 0.5  # load average above which other programs disturb


@dataclass
class Row:
    """One line of the table.

    Attributes:
        work: What was measured.
        unit: Unit of `ours` and `baseline`.
        ours: Median.
        baseline: Median; None if there is no baseline.
        higher_is_better: False for times.
        of_matrix_rate: Fraction of the matmul rate of this machine and precision that `ours` reaches.
        peak_mb: Peak increase of the memory in a round of `ours`, MB.
        baseline_peak_mb: The same of the baseline.
        note: How it was measured.
    """

    work: str
    unit: str
    ours: float
    baseline: float | None = None
    higher_is_better: bool = True
    of_matrix_rate: float | None = None
    peak_mb: float | None = None
    baseline_peak_mb: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Return how many times better ours is."""
        if self.baseline is None:
            return None
        return self.ours / self.baseline if self.higher_is_better else self.baseline / self.ours


@dataclass
class Measured:
    """Seconds of each round of a contestant, and the peak increase of memory, MB."""

    seconds: list[float]
    peak_mb: float

    @property
    def median(self) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.seconds)


def interleaved(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    device: torch.device = CPU,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Measured]:
    """Run each contestant once to warm up, then all of them, round after round.

    Args:
        contestants: Name -> what is timed.
        rounds: Number of rounds.
        device: Synchronized before the clock is read.
        clock: Returns seconds; `time.process_time` measures one single-threaded process without other programs.
    """
    for contestant in contestants.values():
        contestant()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    peaks = dict.fromkeys(contestants, 0.0)
    for _ in range(rounds):
        for name, contestant in contestants.items():
            before = forget_peak(device)
            start = clock()
            contestant()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(clock() - start)
            peaks[name] = max(peaks[name], peak_mb(device) - before)
    return {name: Measured(seconds[name], peaks[name]) for name in contestants}


def forget_peak(device: torch.device) -> float:
    """Release unused memory, reset the peak, and return the memory in use, MB."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 1e6
    with contextlib.suppress(OSError, AttributeError):  # not glibc, or not Linux: peaks are then too low, or 0
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak_mb(device: torch.device) -> float:
    """Return the peak of memory: allocated on a GPU, resident of this process (without its workers) on a CPU."""
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else _status("VmHWM")


def _status(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(name))


def matrix_rate(dtype: torch.dtype, device: torch.device = CPU, *, size: int | None = None) -> float:
    """Return the floating-point operations per second of a large matrix product: the best of 32, or of a second's."""
    size = size or (8192 if device.type == "cuda" else 1024)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + 1
    for _ in range(32):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:  # bf16 without instructions for it takes seconds each
            break
    return 2 * size**3 / best


def forward_operations(network: torch.nn.Module, images: torch.Tensor) -> int:
    """Return the floating-point operations of the convolutions and linear layers of one forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    return counter.get_total_flops()


def machine() -> dict[str, Any]:
    """Return hardware, versions and the load average."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": pillow_version,
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
        facts["cuda"] = torch.version.cuda
        facts["cudnn"] = torch.backends.cudnn.version()
    return facts


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned text."""
    lines: list[tuple[str, ...]] = [
        ("work", "unit", "ours", "baseline", "ratio", "of matrix rate", "peak MB", "baseline MB")
    ]
    for row in rows:
        lines.append(
            (
                row.work,
                row.unit,
                _number(row.ours),
                _number(row.baseline),
                "-" if row.ratio is None else f"{row.ratio:.2f}",
                "-" if row.of_matrix_rate is None else f"{row.of_matrix_rate:.0%}",
                "-" if row.peak_mb is None else f"{row.peak_mb:,.0f}",
                "-" if row.baseline_peak_mb is None else f"{row.baseline_peak_mb:,.0f}",
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, tuple("-" * width for width in widths))
    sides = [str.ljust, str.ljust, *[str.rjust] * (len(widths) - 2)]
    return "\n".join(
        "  ".join(side(cell, width) for side, cell, width in zip(sides, line, widths, strict=True)) for line in lines
    )


def footer(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """Return notes, hardware and versions, and a warning if the machine was busy."""
    lines = [f"{row.work}: {row.note}" for row in rows if row.note]
    lines.append(", ".join(f"{name} {value}" for name, value in facts.items()))
    load = facts["load_average_before"]
    if load > QUIET:
        lines.append(f"warning: the machine was busy (load average {load}), so these numbers are unreliable")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write_record(path: str, rows: Sequence[Row], *, facts: dict[str, Any]) -> None:
    """Write the rows and the machine as JSON."""
    record = {"machine": facts, "rows": [{**asdict(row), "ratio": row.ratio} for row in rows]}
    Path(path).write_text(json.dumps(record, indent=1) + "\n")


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Within the block, compute in `number` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def positive(text: str) -> int:
    """Return an integer of at least 1, for argparse."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
    return int(text)
