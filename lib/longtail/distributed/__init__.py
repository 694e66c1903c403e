"""Processes and devices of a run."""

from longtail.distributed.place import Place, find_place
from longtail.distributed.processes import (
    SINGLE_PROCESS,
    World,
    from_main,
    gather_to_all,
    launched_world,
    main_only,
    maximum,
    share_buffers,
    sum_over_processes,
)

__all__ = [
    "SINGLE_PROCESS",
    "Place",
    "World",
    "find_place",
    "from_main",
    "gather_to_all",
    "launched_world",
    "main_only",
    "maximum",
    "share_buffers",
    "sum_over_processes",
]
