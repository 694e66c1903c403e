"""Processes and devices of a run."""

from longtail.distributed.consensus import Consensus
from longtail.distributed.exchanges import (
    from_main,
    gather_to_all,
    main_only,
    maximum,
    share_buffers,
    sum_over_processes,
)
from longtail.distributed.launch import launch_name, launched_world
from longtail.distributed.place import Place, find_place
from longtail.distributed.processes import SINGLE_PROCESS, World

__all__ = [
    "SINGLE_PROCESS",
    "Consensus",
    "Place",
    "World",
    "find_place",
    "from_main",
    "gather_to_all",
    "launch_name",
    "launched_world",
    "main_only",
    "maximum",
    "share_buffers",
    "sum_over_processes",
]
