"""The number of threads and how they wait, chosen before torch is loaded; after that they cannot be changed.

By default OpenMP threads spin while they wait for each other. Alone on a machine that saves microseconds; beside other
busy processes the spinning threads take the processors that the others are waiting for, and a training step of two
threads becomes several times slower than one of one thread. Threads that sleep while they wait cost almost nothing
alone, so that is the default here.

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
    """Set OMP_NUM_THREADS and OMP_WAIT_POLICY unless the user has exported what decides them; call before torch loads.

    Args:
        environment: Environment of the process. torchrun exports OMP_NUM_THREADS=1 to its processes by itself; that
            counts as exported.
    """
    if not any(environment.get(name) for name in COUNTS):
        environment["OMP_NUM_THREADS"] = str(available_cores(environment))
    if not any(environment.get(name) for name in WAITS):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"


def lower_priority(environment: MutableMapping[str, str] = os.environ, autogroup: Path = AUTOGROUP) -> None:
    """Leave the processors to other programs: nice 19 and one thread; call before torch loads.

    Args:
        environment: Environment of the process.
        autogroup: File of the nice value of the session. Linux divides the processors between sessions before it looks
            at the nice values of their processes; where there is no such file, or it cannot be written, those decide.
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
