"""The number of threads and how they wait, chosen before torch is loaded; after that they cannot be changed.

By default OpenMP threads spin while they wait for each other. On an idle machine that saves microseconds; on a busy one
the spinning threads occupy processors that other processes are waiting for, and a training step with two threads
becomes several times slower than with one. Threads that sleep while they wait cost almost nothing on an idle machine,
so that is the default here.

One thread per core that this process may use: processors that share a core share its arithmetic. The number does not
depend on what else is running, because the last bits of a result on a CPU depend on it, and a run that is resumed must
end with the same weights. The processes that load images are not subtracted: they sleep while enough batches are ready.
"""

import contextlib
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from longtail.processors import available_cores

COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
LOWEST = 19  # nice value
AUTOGROUP = Path("/proc/self/autogroup")
WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def set_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set OMP_NUM_THREADS and OMP_WAIT_POLICY unless the user has set them; call before torch loads.

    Args:
        environment: Environment of the process. torchrun sets OMP_NUM_THREADS=1 for its processes; that counts as set
            by the user.
    """
    if not any(environment.get(name) for name in COUNTS):
        environment["OMP_NUM_THREADS"] = str(available_cores(environment))
    if not any(environment.get(name) for name in WAITS):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"


def lower_priority(environment: MutableMapping[str, str] = os.environ, autogroup: Path = AUTOGROUP) -> None:
    """Give other programs priority: set nice 19 and use one thread; call before torch loads.

    Args:
        environment: Environment of the process.
        autogroup: File of the nice value of the session. Linux divides the processors between sessions before it looks
            at the nice values of their processes. Without this file, or if it cannot be written, those decide alone.
    """
    os.nice(LOWEST)
    environment["OMP_NUM_THREADS"] = "1"
    with contextlib.suppress(OSError):
        autogroup.write_text(str(LOWEST))


def describe_threads(number: int, environment: MutableMapping[str, str] = os.environ) -> str:
    """Return what was chosen in one line for the log.

    Args:
        number: Threads that torch uses.
        environment: Environment of the process.
    """
    settings = [f"{name}={environment[name]}" for name in (*COUNTS, *WAITS) if environment.get(name)]
    return f"{number} thread{'' if number == 1 else 's'} ({', '.join(settings) or 'defaults of torch'})"


if __name__ == "__main__":  # for shell scripts that start torchrun
    sys.stdout.write(f"{available_cores()}\n")
