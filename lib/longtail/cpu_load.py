"""Processors that other programs leave free, measured between two moments."""

import os
import time
from pathlib import Path
from typing import NamedTuple

STAT = Path("/proc/stat")
NICE, IDLE, IOWAIT = 1, 3, 4  # columns of /proc/stat that do not keep this process from computing


class Moment(NamedTuple):
    """Clock and processor times, seconds.

    Attributes:
        wall: Monotonic clock.
        own: Processor time of this process.
        free: Time in which the processors that it may use were idle or ran programs of low priority, summed.
    """

    wall: float
    own: float
    free: float


def moment(stat: Path = STAT) -> Moment | None:
    """Return the present moment; None if the system does not tell (not Linux)."""
    try:
        lines = [line.split() for line in stat.read_text().splitlines() if line.startswith("cpu")]
        usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        times = [[int(field) for field in line[1:]] for line in lines if line[0] in usable]
        ticks = sum(each[NICE] + each[IDLE] + each[IOWAIT] for each in times)
    except (OSError, AttributeError, ValueError, IndexError):
        return None
    if not times:
        return None
    return Moment(time.monotonic(), time.process_time(), ticks / os.sysconf("SC_CLK_TCK"))


def free_processors(before: Moment, now: Moment) -> float:
    """Return how many processors this process had or could have had, on average between two moments."""
    elapsed = now.wall - before.wall
    if elapsed <= 0:
        return float("inf")
    return (now.own - before.own + now.free - before.free) / elapsed
