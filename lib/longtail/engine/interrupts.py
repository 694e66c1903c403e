"""Stopping on request: the first signal asks the loop to save and stop, a later one ends the process at once."""

import os
import signal
import threading
import time
from types import FrameType, TracebackType


class Interrupted(Exception):
    """A signal asked the training to stop; its state is saved.

    Args:
        signum: Number of the signal.
        where: What was saved.
    """

    def __init__(self, signum: int, where: str) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}; {where}")
        self.signum = signum


class Interrupts:
    """A context in which SIGINT, SIGTERM and SIGUSR1 are recorded and do not end the process; for the main thread only.

    Args:
        patience: Seconds after the first signal in which others are ignored. A launcher forwards the signal that its
            processes have received themselves, for example by Ctrl-C or from Slurm.

    Attributes:
        received: Number of the first signal; None if there was none.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self, patience: float = 0.0) -> None:
        self.received: int | None = None
        self._patience = patience
        self._first = 0.0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interrupts":
        main = threading.current_thread() is threading.main_thread()
        for signum in self.SIGNALS if main else ():  # Python lets no other thread handle signals
            self._previous[signum] = signal.signal(signum, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        repeated = self.received is not None
        if not repeated:
            self.received, self._first = signum, now
        if now - self._first >= self._patience:
            self._restore()  # the next signal must act at once, even if a call never returns
            if repeated:
                os.kill(os.getpid(), signum)

    def _restore(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]
        self._previous.clear()
