"""The number of threads and how they wait, chosen before torch is loaded; after that only their number can be lowered.

By default OpenMP threads spin while they wait for each other. On an idle machine that saves microseconds; on a busy one
the spinning threads occupy processors that other processes are waiting for, and a training step with two threads
becomes several times slower than with one. Threads that sleep at once lose up to half of the speed of small networks on
an idle machine. So here they spin for some microseconds, then sleep.

One thread per core that this process may use: processors that share a core share its arithmetic. Fewer if other
programs keep processors busy while torch loads: threads that wait for each other and for processors are slower than a
single one (`benchmarks/threads.py`). The last bits of a result on a CPU depend on the number, so a resumed run keeps
that of its first process. The processes that load images are not subtracted: they sleep while enough batches are ready.
"""

import contextlib
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from longtail.cpu_load import Moment, free_processors, moment
from longtail.processors import available_cores

COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
SPINS = "10000"  # tens of microseconds
LOWEST = 19  # nice value
AUTOGROUP = Path("/proc/self/autogroup")
WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_chosen: tuple[int, Moment] | None = None  # number of threads and when it was chosen here; None: the user chose it


def set_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set OMP_NUM_THREADS, OMP_WAIT_POLICY and GOMP_SPINCOUNT unless the user has set them; call before torch loads.

    Args:
        environment: Environment of the process. torchrun sets OMP_NUM_THREADS=1 for its processes; that counts as set
            by the user.
    """
    global _chosen
    if not any(environment.get(name) for name in COUNTS):
        number, now = available_cores(environment), moment()
        environment["OMP_NUM_THREADS"] = str(number)
        _chosen = (number, now) if now else None
    if not any(environment.get(name) for name in WAITS):
        environment.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT=SPINS)  # the first is for other runtimes


def use_threads(first: int | None = None) -> None:
    """Let torch use fewer threads if other programs have been busy since `set_threads`; call when torch is loaded.

    Args:
        first: Threads of the run's first process, if this one resumes it.
    """
    number = threads_now(first)
    if number is not None:
        import torch

        torch.set_num_threads(number)


def threads_now(first: int | None = None) -> int | None:
    """Return how many threads to use, see `use_threads`; None: as many as now."""
    now = moment()
    if _chosen is None or now is None:
        return None
    number, before = _chosen
    return max(1, round(min(number, free_processors(before, now) if first is None else first)))


def lower_priority(environment: MutableMapping[str, str] = os.environ, autogroup: Path = AUTOGROUP) -> None:
    """Give other programs priority: set nice 19 and use one thread; call before torch loads.

    Args:
        environment: Environment of the process.
        autogroup: File of the nice value of the session. Linux divides the processors between sessions before it looks
            at the nice values of their processes. Without this file, or if it cannot be written, those decide alone.
    """
    global _chosen
    _chosen = None  # the single thread is not the one chosen by the load
    os.nice(LOWEST)
    environment["OMP_NUM_THREADS"] = "1"
    with contextlib.suppress(OSError):
        autogroup.write_text(str(LOWEST))


def describe_threads(number: int, environment: MutableMapping[str, str] = os.environ) -> str:
    """Return what was chosen in one line for the log.

    Args:
        number: Threads that torch uses; fewer than in the environment if other programs were busy.
        environment: Environment of the process.
    """
    settings = [f"{name}={environment[name]}" for name in (*COUNTS, *WAITS) if environment.get(name)]
    return f"{number} thread{'' if number == 1 else 's'} ({', '.join(settings) or 'defaults of torch'})"


if __name__ == "__main__":  # for shell scripts that start torchrun
    sys.stdout.write(f"{available_cores()}\n")
