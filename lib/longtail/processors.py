"""The processors that this process may use: its affinity, the quota of its cgroup, and the other processes of torchrun.

Nothing here imports torch: the number of threads is chosen before torch is loaded.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

CGROUPS = Path("/proc/self/cgroup")
CGROUP_ROOT = Path("/sys/fs/cgroup")
TOPOLOGY = Path("/sys/devices/system/cpu")


def available_processors(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of processors for this process, at least 1.

    It is the smaller of the processors that the affinity allows and of the quota of the cgroup, divided by the
    processes that torchrun has started on this machine (LOCAL_WORLD_SIZE).
    """
    return _per_process(_quota_of(len(os.sched_getaffinity(0))), environment)


def available_cores(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of cores for this process, at least 1: processors that are threads of one core count once."""
    return _per_process(_quota_of(count_cores(os.sched_getaffinity(0))), environment)


def _quota_of(number: int) -> int:
    quota = cgroup_quota()
    return number if quota is None else min(number, int(quota))


def processes_here(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes torchrun has started on this machine; 1 without torchrun."""
    text = environment.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(text) if text.isdecimal() else 1)


def _per_process(number: int, environment: Mapping[str, str]) -> int:
    return max(1, number // processes_here(environment))


def count_cores(processors: set[int], topology: Path = TOPOLOGY) -> int:
    """Return the number of cores that the processors belong to; without a topology, the number of processors."""
    cores = set()
    for processor in processors:
        try:
            cores.add((topology / f"cpu{processor}" / "topology" / "thread_siblings_list").read_text().strip())
        except OSError:
            cores.add(str(processor))
    return len(cores)


def cgroup_quota(cgroups: Path = CGROUPS, root: Path = CGROUP_ROOT) -> float | None:
    """Return the processors that the cgroup of this process may use (version 1 and 2); None: no limit."""
    try:
        lines = cgroups.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):  # not Linux
        return None
    limits = [limit for line in lines if line.count(":") >= 2 for limit in _limits(line, root)]
    return min(limits, default=None)


def _limits(line: str, root: Path) -> Iterator[float]:
    """Yield the limits that hold for one line of /proc/self/cgroup, of the group and of those above it."""
    _, controllers, name = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    mounts = [root / controllers, root / "cpu"] if controllers else [root, root / "unified"]
    relative = Path(name.lstrip("/"))
    for mount in mounts:
        # A container sees its own group at the root, and a path that does not exist there.
        for group in (relative, *relative.parents):
            limit = _version_1(mount / group) if controllers else _version_2(mount / group)
            if limit is not None:
                yield limit


def _version_1(group: Path) -> float | None:
    try:
        quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def _version_2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max": no limit
        return None
