"""Trainings in forked children of a process that has imported everything: `longtail train` without the start-up time.

Otherwise a child is a normal process: it can be killed, stopped and limited, and ends with the exit code of the
    command.
"""

import contextlib
import io
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import small  # registers the network  # noqa: F401
import torch
import torch._dynamo  # DistributedDataParallel imports it: once here instead of in every child

from longtail.checkpoint_file import checksum, read_checkpoint
from longtail.cli import train
from longtail.stages import recipe, run_config  # noqa: F401  (loaded before the first fork)

TIMES = ("seconds", "time", "images_per_second", "hours", "eta")  # entries of metrics and results that differ by nature
STARTING = 120.0  # seconds, enough for a busy machine


class Child:
    """A forked training.

    Args:
        words: Command line of `longtail train`.
        log: File of its output.
        before: Called in the child before the training, for example to set limits.
        environment: Variables of the child.
    """

    def __init__(
        self,
        words: Sequence[Any],
        log: Path,
        *,
        before: Callable[[], object] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.log = log
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _run([str(word) for word in words], log, before=before, environment=environment or {})

    def send(self, signum: int) -> None:
        """Send a signal, if the child has not ended."""
        if not self.ended():
            os.kill(self.pid, signum)

    def ended(self) -> bool:
        """Return whether it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, limit: float) -> int | None:
        """Return the exit code; None if it has not ended after some seconds, and it is killed."""
        end = time.monotonic() + limit
        while not self.ended():
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                self.code = -signal.SIGKILL
                return None
            time.sleep(0.005)
        return self.code

    def printed(self) -> str:
        """Return its standard error."""
        return self.log.read_text(errors="replace")


def _run(
    words: list[str], log: Path, *, before: Callable[[], object] | None, environment: dict[str, str]
) -> None:  # pragma: no cover
    """Run the child: train and exit."""
    code = 70
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.environ.update(environment)
        torch.set_num_threads(1)
        if before:
            before()
        code = train.main(words)
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def start(words: Sequence[Any], log: Path, *, processes: int = 1) -> list[Child]:
    """Start a training in one process, or in several that connect on a free port as under torchrun."""
    if processes == 1:
        return [Child(words, log)]
    port = str(free_port())
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        Child(words, log, environment={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(processes)
    ]


def warm_up(words: Sequence[Any]) -> None:
    """Run a training in this process, so that its children need not load the modules."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = train.main([str(word) for word in words])
    if code:
        sys.exit(f"the training {words} ends with exit code {code}")


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def one_line(text: str) -> bool:
    """Return whether the output of a training has a one-line error and no traceback."""
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    return len(errors) == 1 and "Traceback" not in text


def outcome(output: Path) -> dict[str, Any] | None:
    """Return digests of weights, metrics and results of a finished training; None if it is not finished.

    Args:
        output: OUTPUT_DIR/NAME.
    """
    runs = sorted(output.glob("*/results.json"))
    if not runs or json.loads(runs[-1].read_text()).get("finished") is not True:
        return None
    run = runs[-1].parent
    checkpoint = read_checkpoint(run / "models" / "last.pth")
    metrics = [without_times(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = without_times(json.loads(runs[-1].read_text())["last"])
    return {"weights": checksum({"model": checkpoint["model"]}), "metrics": metrics, "last": last, "runs": len(runs)}


def without_times(record: Any) -> Any:
    """Return a record without entries that depend on the clock."""
    if not isinstance(record, dict):
        return record
    return {key: without_times(value) for key, value in record.items() if key not in TIMES}
